//! What a panic leaves behind: its place, never its message, which may quote what a client or a
//! model wrote.

use std::panic;

/// Has panics logged by place alone, from here on. Called once, after logging was set up.
pub fn log_place_only() {
    panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => tracing::error!(
            file = place.file(),
            line = place.line(),
            column = place.column(),
            "panic"
        ),
        None => tracing::error!("panic at an unknown place"),
    }));
}
