//! Habits of other programs: what people write who come from nginx, HAProxy, Caddy, Traefik or
//! Envoy, and what to say to them.
//!
//! A message that only says "unknown" sends people to the manual; one that knows what was meant
//! names the right key, or says that there is none. Pure text: tables of words, and a look at the
//! beginning of a file.

mod files;
mod keys;
mod values;

pub(super) use files::of_format;
pub(super) use keys::{means, of_key, of_listen_options, of_place};
pub(super) use values::{of_field_value, of_placeholder, of_strategy, of_variable, with_our_placeholders};

/// Where to find the list of missing features.
const SEE: &str = r#"see "What ropewalk does not have" in docs/migrating.md"#;
