//! Floor 7: the command line. One file for each command, and what they share.
//!
//! The commands for a running ropewalk are in [`operate`].
//!
//! [`args`] holds what was typed; [`exit`] how a command ends; [`logging`] what diagnostics look
//! like and [`diagnostics`] how they are written; [`notify`] what the service manager is told.

pub(crate) mod admin_client;
pub(crate) mod args;
pub(crate) mod check;
#[cfg(feature = "demo")]
pub(crate) mod demo;
mod diagnostics;
pub(crate) mod exit;
pub(crate) mod explain;
pub(crate) mod habits;
pub(crate) mod logging;
pub(crate) mod notify;
pub(crate) mod operate;
#[cfg(feature = "demo")]
pub(crate) mod origin;
pub(crate) mod run;
pub(crate) mod signals;
mod watch;
