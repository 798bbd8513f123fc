//! Settings that a reload cannot change while the process runs.

use super::Config;

impl Config {
    /// Returns the keys of the settings that differ in `new` and take effect only after a restart.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let (server, logs) = (&self.server, &self.telemetry);
        let changed = [
            ("server.listen", server.listen != new.server.listen),
            (
                "server.admin_listen",
                server.admin_listen != new.server.admin_listen,
            ),
            ("server.tls", server.tls != new.server.tls),
            ("data_dir", self.data_dir != new.data_dir),
            ("telemetry.log", logs.log != new.telemetry.log),
            ("telemetry.format", logs.json != new.telemetry.json),
        ];
        changed
            .into_iter()
            .filter(|(_, changed)| *changed)
            .map(|(key, _)| key)
            .collect()
    }
}
