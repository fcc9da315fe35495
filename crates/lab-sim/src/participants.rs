//! Whoever runs on the machine: the driver, the clients and their threads, helpers and daemons, trees of programs.
//!
//! `state` and what it is made of keep who takes part; the other modules are what threads do, each in its pieces of work.

pub(crate) mod client;
pub(crate) mod deciders;
pub(crate) mod driver;
pub(crate) mod driving;
pub(crate) mod errands;
pub(crate) mod growing;
pub(crate) mod headers;
pub(crate) mod joining;
pub(crate) mod lives;
pub(crate) mod notices;
pub(crate) mod notifying;
pub(crate) mod observers;
pub(crate) mod opening;
pub(crate) mod outside;
pub(crate) mod requests;
pub(crate) mod state;
pub(crate) mod target;
pub(crate) mod threads;
pub(crate) mod trees;
pub(crate) mod waits;
pub(crate) mod worker_processes;
pub(crate) mod workers;
