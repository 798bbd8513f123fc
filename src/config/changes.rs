//! Defaults that differ from those of an earlier release, and whether a file relies on them.

use super::table::Table;

/// A key of `[server]`, and what changed.
const CHANGED: [(&str, &str); 2] = [
    (
        "listen",
        "server.listen is not set: the default is 127.0.0.1:8484 (it was 127.0.0.1:8080); \
         set server.listen to keep the old port",
    ),
    (
        "admin_listen",
        "server.admin_listen is not set: the default is 127.0.0.1:8485 (it was 127.0.0.1:9090); \
         set server.admin_listen to keep the old port",
    ),
];

/// One sentence for each changed default that the file relies on.
pub(super) fn relied_on(root: &Table<'_, '_>) -> Vec<&'static str> {
    let changed = CHANGED.iter();
    changed
        .filter(|(key, _)| !super::check::given(root, key))
        .map(|(_, sentence)| *sentence)
        .collect()
}
