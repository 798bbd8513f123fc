//! Defaults that differ from those of an earlier release, and the notes about files that rely on
//! them.

use super::table::Table;

/// Keys of `[server]` with a changed default, each with its note.
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

/// Returns one note for each changed default that the file relies on.
pub(super) fn notes(root: &Table<'_, '_>) -> Vec<&'static str> {
    let changed = CHANGED.iter();
    changed
        .filter(|(key, _)| !super::check::sets_server_key(root, key))
        .map(|(_, note)| *note)
        .collect()
}
