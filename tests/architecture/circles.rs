//! Finds import circles between the files of a room.
//!
//! A file and the modules below it may use each other: such imports are no part of a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::code::Source;
use super::imports::Modules;

/// The imports between the files of one room.
type Graph = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// Returns the circles of all rooms. A circle is the sorted list of the files that import each
/// other in the end.
pub(crate) fn circles(sources: &[Source]) -> Vec<Vec<String>> {
    let graph = graph(sources);
    let reachable: BTreeMap<_, _> = graph.keys().map(|it| (it, reach(&graph, it))).collect();
    let mut found = BTreeSet::new();
    for (module, reached) in &reachable {
        let circle: Vec<String> = reached
            .iter()
            .filter(|other| reachable[*other].contains(module))
            .map(|it| it.join("/"))
            .collect();
        if !circle.is_empty() {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

/// Returns the imports within a circle, as `from → to`.
pub(crate) fn imports_within(sources: &[Source], circle: &[String]) -> Vec<String> {
    let graph = graph(sources);
    let mut found = Vec::new();
    for (from, targets) in &graph {
        for to in targets {
            let (from, to) = (from.join("/"), to.join("/"));
            if circle.contains(&from) && circle.contains(&to) {
                found.push(format!("{from} → {to}"));
            }
        }
    }
    found
}

fn graph(sources: &[Source]) -> Graph {
    let modules = Modules::new(sources);
    let counts = |from: &[String], to: &[String]| {
        from.first() == to.first() && !from.starts_with(to) && !to.starts_with(from)
    };
    let targets = |it: &Source| {
        let mut targets = modules.targets(&it.modules);
        targets.retain(|to| counts(&it.modules, to));
        (it.modules.clone(), targets)
    };
    sources.iter().map(targets).collect()
}

/// Returns the files that one file imports in the end.
fn reach<'a>(graph: &'a Graph, from: &'a Vec<String>) -> BTreeSet<&'a Vec<String>> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        let targets = graph.get(module).into_iter().flatten();
        open.extend(targets.filter(|it| reached.insert(*it)));
    }
    reached
}
