//! Selects the protocol, the preset and the endpoint of a provider.

use crate::config::presets::{Endpoint, Kind, NAMES, Preset, Protocol};
use crate::config::schema::WIRES;
use crate::config::table::Table;
use crate::model::wire::WireId;

/// The protocol of a provider, and its preset and endpoint if it has one.
#[derive(Clone, Copy)]
pub(super) struct Selection {
    pub(super) protocol: Protocol,
    pub(super) preset: Option<(&'static Preset, &'static Endpoint)>,
}

impl Selection {
    fn of(preset: &'static Preset, endpoint: &'static Endpoint) -> Self {
        Self {
            protocol: endpoint.protocol,
            preset: Some((preset, endpoint)),
        }
    }

    pub(super) fn kind(self) -> Option<Kind> {
        self.preset.map(|(preset, _)| preset.kind)
    }

    /// Returns its name for messages.
    pub(super) fn name(self) -> String {
        match self.preset {
            Some((preset, _)) if preset.kind != Kind::Replay => {
                format!("the preset {:?}", preset.name)
            }
            _ => format!("the wire {:?}", self.protocol.name()),
        }
    }
}

/// Selects protocol, preset and endpoint from `preset`, `wire` and the provider's name.
pub(super) fn selection(name: &str, table: &Table<'_, '_>) -> Option<Selection> {
    // `Some(None)` is a wrong wire: it is reported, and the name's preset must not replace it.
    let wire = table.read("wire", |node| {
        Some(node.one_of(WIRES).and_then(Protocol::from_name))
    });
    if table.has("preset") {
        let preset = table
            .read("preset", |node| node.one_of(NAMES))
            .and_then(Preset::from_name)?;
        let default_endpoint = preset.default_endpoint()?;
        return Some(Selection::of(
            preset,
            wire.flatten().map_or(default_endpoint, |wire| {
                preset
                    .endpoint(wire)
                    .unwrap_or_else(|| report_wrong_wire(table, preset, default_endpoint))
            }),
        ));
    }
    let Some(wire) = wire else {
        return select_by_name(name, table);
    };
    let wire = wire?;
    // Only AWS has Bedrock's wire, and it needs a region, so the wire implies the preset.
    let named = if wire == Protocol::Http(WireId::Bedrock) {
        Preset::from_name("bedrock")
    } else {
        Preset::from_name(name)
    };
    let endpoint = named.and_then(|preset| Some((preset, preset.endpoint(wire)?)));
    Some(Selection {
        protocol: wire,
        preset: endpoint,
    })
}

/// Reports a wire that the preset does not have. Returns the default endpoint instead.
fn report_wrong_wire(
    table: &Table<'_, '_>,
    preset: &Preset,
    default_endpoint: &'static Endpoint,
) -> &'static Endpoint {
    let wires: Vec<_> = preset
        .endpoints
        .iter()
        .map(|endpoint| format!("{:?}", endpoint.protocol.name()))
        .collect();
    let message = format!("the preset {:?} supports {}", preset.name, wires.join(", "));
    table.misplaced("wire", message, "use one of these, or remove `preset`");
    default_endpoint
}

/// Selects the preset that is named like the table.
fn select_by_name(name: &str, table: &Table<'_, '_>) -> Option<Selection> {
    let Some((preset, default_endpoint)) =
        Preset::from_name(name).and_then(|preset| Some((preset, preset.default_endpoint()?)))
    else {
        let help = "set `preset` to a known provider (`sluicegate providers` lists them), or `wire` and `base_url`";
        return table.missing(
            "",
            "neither `preset` nor `wire` is set, and its name is not that of a preset",
            help,
        );
    };
    Some(Selection::of(preset, default_endpoint))
}
