//! HTTP: how the node is reached. This folder knows requests and connections; what the answers say is `node`'s matter.
//!
//! A connection is accepted by [`listener`] (slot, TLS from [`tls`], header and idle time), becomes requests, and each
//! request passes the frame built in [`mod@serve`]: request id, log line and metrics, panic catcher, then [`limits`]
//! (headers, load, body, time), then the resource's handler. Whatever goes wrong on the way leaves as a [`problem`]
//! document with a stable code. [`live`] holds what SIGHUP may change: the configuration in force and the certificate.
//!
//! One file per resource: [`reads`], [`search`], [`log_api`], [`changes`] (with the event stream), [`private_check`] (links by buckets), [`static_log`] (the log itself as files), [`witness`], [`health`], [`metrics`], [`openapi`] (the document is collected from the handlers). What people see in a browser is in [`pages`]. Parameters are read
//! with [`extract`]. To add one, write a handler with `#[utoipa::path]`, return `Result<_, Error>`, and add it in [`openapi::api`]'s router.
//!
//! It must never: hold truth of its own, log bodies, paths or secrets, speak unencrypted to anything but loopback and
//! the configured proxy, let what a client sends grow memory or metric labels without bound, or import `sync`.

pub mod changes;
pub mod dossiers;
pub mod evidence_api;
pub mod extract;
pub mod health;
mod limits;
mod listener;
pub mod live;
pub mod log_api;
pub mod logging;
pub mod metrics;
pub mod openapi;
pub mod pages;
pub mod private_check;
pub mod problem;
pub mod proofs;
pub mod reads;
pub mod search;
pub mod serve;
mod shares;
pub mod static_log;
pub mod tls;
pub mod witness;

pub use health::Ready;
pub use limits::{Peer, RequestId};
pub use live::{Live, Loader};
pub use problem::Problem;
pub use serve::{Options, Server, serve};
