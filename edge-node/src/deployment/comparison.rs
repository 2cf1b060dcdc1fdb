//! What a new application has in common with the one that serves: that much goes on as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::canary::Canaries;
use crate::compile::Compiled;
use crate::edition::Edition;
use crate::manifest::App;
use crate::site::{Running, Site};

/// What serves beside what is to serve.
pub(super) struct Comparison<'a> {
    pub(super) old: Option<&'a Arc<Site>>,
    pub(super) app: &'a App,
    pub(super) canaries: &'a Canaries,
    pub(super) compiled: &'a BTreeMap<String, Compiled>,
    /// Stores whose data are elsewhere now.
    pub(super) moved: &'a BTreeSet<String>,
}

impl Comparison<'_> {
    /// The old application, if the new one is no different.
    pub(super) fn same_site(&self) -> Option<Arc<Site>> {
        let old = self.old?;
        let names = (&old.identity.application, &old.identity.version);
        let is_same = names == (&self.app.name, &self.app.version)
            && self.has_same_routes()
            && old.canaries == *self.canaries
            && old.running.len() == self.app.components.len()
            && self.app.components.keys().all(|id| self.same(id).is_some());
        is_same.then(|| Arc::clone(old))
    }

    /// The components that go on as they are. Who may ask other components does not: it is renewed with
    /// them, because its answers are made of theirs.
    pub(super) fn kept(&self) -> BTreeMap<String, Running> {
        let alone = (self.app.components.iter())
            .filter(|(_, component)| !component.allowed_hosts.reach_application());
        let mut kept: BTreeMap<String, Running> =
            alone.filter_map(|(id, _)| Some((id.clone(), self.same(id)?.clone()))).collect();
        if !self.has_same_routes() {
            // What lies in the cache may belong to another component now.
            for running in kept.values_mut() {
                running.edition = Edition::new(Arc::clone(running.edition.component()));
            }
        }
        kept
    }

    fn has_same_routes(&self) -> bool {
        self.old.is_some_and(|old| old.triggers == self.app.triggers)
    }

    /// A component, if code and configuration are what they were.
    fn same(&self, id: &str) -> Option<&Running> {
        let running = self.old?.running.get(id)?;
        let is_same = running.digest == self.compiled[id].digest
            && *running.pool.component() == self.app.components[id]
            && running.pool.component().key_value_stores.is_disjoint(self.moved);
        is_same.then_some(running)
    }
}
