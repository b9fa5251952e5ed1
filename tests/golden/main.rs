//! Golden tests: manifests in, Envoy resources out. One module for each area, one folder for each case.

#[cfg(test)]
mod endpoints;
#[cfg(test)]
mod gateways;
#[cfg(test)]
mod harness;
