//! Which trigger answers a path: Spin's own route finder, and so Spin's own precedence.
//!
//! Segment by segment an exact one wins over a parameter, and that over the trailing wildcard
//! `/...`. A route written twice belongs to the later one. Private triggers have no route.

use std::sync::Arc;

use routefinder::RouteSpec;

use crate::manifest::{Target, Trigger};

/// Paths under it belong to the host.
pub(crate) const WELL_KNOWN_PREFIX: &str = "/.well-known/spin/";

/// Whether a path asks if the host is well.
pub(crate) fn is_health(path: &str) -> bool {
    path.strip_prefix(WELL_KNOWN_PREFIX) == Some("health")
}

/// The routes of an application.
#[derive(Debug)]
pub(crate) struct Router {
    finder: routefinder::Router<usize>,
    routes: Vec<Route>,
}

/// A public route.
#[derive(Debug)]
pub(crate) struct Route {
    /// As written in the manifest.
    pub(crate) raw: Arc<str>,
    /// With a leading slash and without a trailing one, as Spin's `spin-matched-route` has it.
    pub(crate) based: String,
    /// Who answers.
    pub(crate) target: Target,
}

/// A route that matches, and what its variable parts matched.
#[derive(Debug)]
pub(crate) struct Match<'r> {
    /// The route.
    pub(crate) route: &'r Route,
    /// `:name` and what it matched, in the order of the route.
    pub(crate) parameters: Vec<(String, String)>,
    /// What the trailing wildcard matched, with its slashes; empty without one.
    pub(crate) trailing: String,
}

impl Router {
    /// Builds the router; also returns a warning for each route that can never be reached.
    ///
    /// # Errors
    /// Names the route that is not well-formed.
    pub(crate) fn new(triggers: &[Trigger]) -> Result<(Self, Vec<String>), String> {
        let mut router = Self { finder: routefinder::Router::new(), routes: Vec::new() };
        let mut warnings = Vec::new();
        for trigger in triggers {
            let Some(raw) = trigger.route.clone() else { continue };
            let based = base(&raw);
            if based.starts_with(WELL_KNOWN_PREFIX) {
                warnings.push(format!("the route {raw:?} is the host's own and never reached"));
            }
            let raw: Arc<str> = raw.into();
            let route = Route { raw, based, target: trigger.target.clone() };
            if let Some(earlier) = router.routes.iter_mut().find(|other| other.raw == route.raw) {
                warnings.push(format!("the route {:?} is there twice; the later wins", route.raw));
                *earlier = route;
                continue;
            }
            let spec = parse(&route.based).map_err(|reason| {
                format!("the route {:?} is not well-formed: {reason}", route.raw)
            })?;
            let Ok(()) = router.finder.add(spec, router.routes.len());
            router.routes.push(route);
        }
        Ok((router, warnings))
    }

    /// The best match for a path, as it came, without its query.
    pub(crate) fn find(&self, path: &str) -> Option<Match<'_>> {
        let found = self.finder.best_match(path)?;
        let route = &self.routes[*found.handler()];
        let captures = found.captures();
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let trailing = captures.wildcard().map_or(String::new(), |rest| {
            // The finder drops a trailing slash that Spin has always passed on.
            match (rest.is_empty(), path.ends_with('/')) {
                (true, false) => String::new(),
                (true, true) => "/".to_owned(),
                (false, false) => format!("/{rest}"),
                (false, true) => format!("/{rest}/"),
            }
        });
        Some(Match { route, parameters: captures.iter().map(owned).collect(), trailing })
    }
}

fn base(raw: &str) -> String {
    let absolute = if raw.starts_with('/') { raw.to_owned() } else { format!("/{raw}") };
    absolute.strip_suffix('/').map_or(absolute.clone(), str::to_owned)
}

fn parse(based: &str) -> Result<RouteSpec, String> {
    let pattern = match based.strip_suffix("/...") {
        Some(prefix) => format!("{prefix}/*"),
        None => based.to_owned(),
    };
    if pattern.strip_suffix("/*").unwrap_or(&pattern).contains('*') {
        return Err("a wildcard may only be its last segment".to_owned());
    }
    pattern.parse()
}
