//! Where the configuration comes from: a file, or standard input.

use std::path::Path;

use ropewalk::config::{ConfigErrors, Document};

/// Reads the configuration that `--config` names.
pub(crate) fn read(path: &Path) -> Result<Document, ConfigErrors> {
    if is_stdin(path) { Document::from_stdin() } else { Document::from_file(path) }
}

/// By convention `-` means standard input. A file of that name is `./-`.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
