//! Floor 7: the command line. One file per command, and what they share.
//!
//! The commands for a running ropewalk are in [`operate`].
//!
//! [`args`] parses the command line; [`exit`] is how a command ends; [`logging`] formats diagnostics
//! and [`diagnostics`] writes them; [`notify`] talks to the service manager.

pub(crate) mod admin_client;
pub(crate) mod args;
pub(crate) mod check;
#[cfg(feature = "demo")]
pub(crate) mod demo;
mod diagnostics;
mod document;
pub(crate) mod exit;
pub(crate) mod explain;
mod format;
pub(crate) mod habits;
pub(crate) mod logging;
pub(crate) mod notify;
pub(crate) mod operate;
#[cfg(feature = "demo")]
pub(crate) mod origin;
pub(crate) mod run;
pub(crate) mod signals;
mod watch;
