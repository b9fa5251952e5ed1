//! The test bed: what stands around syncgate so that real traffic flows through a real Envoy.
//!
//! It runs syncgate as a user would, by its command line and its folder of manifests, and looks at it only from outside: answers to requests,
//! probes, and Envoy's own counters. It must not link the `syncgate` library.

pub mod address;
pub mod backend;
pub mod bed;
pub mod certificates;
pub mod churn;
pub mod demo;
mod draws;
pub mod envoy;
pub mod example;
pub mod folder;
pub mod http;
pub mod kube;
pub mod kubeconfig;
pub mod load;
pub mod manifests;
pub mod process;
pub mod scenario;
pub mod seed;
pub mod syncgate;
pub mod wait;
