//! Logs panics by location, without their message, which may quote text of a client or a model.

use std::panic;

/// Installs the panic hook. Call it once, after logging is set up.
pub fn log_location_only() {
    panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => tracing::error!(
            file = place.file(),
            line = place.line(),
            column = place.column(),
            "panic"
        ),
        None => tracing::error!("panic at an unknown location"),
    }));
}
