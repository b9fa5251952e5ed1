//! The test bed: what stands around syncgate so that real traffic flows through a real Envoy.
//!
//! It runs syncgate as a user would, by its command line and its folder of manifests, and looks at it only from outside: answers to requests,
//! probes, and Envoy's own counters. It must not link the `syncgate` library.

pub mod address;
pub mod ads;
pub mod backend;
pub mod balancer;
pub mod bed;
pub mod certificates;
pub mod churn;
pub mod demo;
pub mod differential;
mod draws;
pub mod envoy;
pub mod example;
pub mod faults;
pub mod fleet;
pub mod folder;
pub mod http;
pub mod kube;
pub mod kube_bed;
pub mod kubeconfig;
pub mod load;
pub mod manifests;
pub mod process;
pub mod random;
pub mod rbac;
pub mod scenario;
pub mod seed;
pub mod settled;
pub mod syncgate;
pub mod usage;
pub mod wait;
pub mod watching;
