//! The choice of the route: mount, path, then method.

use std::cmp::Reverse;

use http::Method;

use super::Handler;
use super::template::{Segments, Template};

/// A method and template with its handler.
pub(super) struct Route<S> {
    pub method: Method,
    pub template: Template,
    pub handler: Handler<S>,
}

/// The routes under one mount.
pub(super) struct WebService<S> {
    mount: &'static str,
    mount_template: Template,
    pub produces: Option<&'static [&'static str]>,
    pub consumes: Option<&'static [&'static str]>,
    routes: Vec<Route<S>>,
    /// Per number of segments of the path: the routes that fit it, best first.
    plans: Vec<Vec<usize>>,
    /// The same for every greater number.
    tail_plan: Vec<usize>,
}

/// What a path and method lead to.
pub(super) enum Choice<'a, S> {
    Route(&'a Route<S>),
    /// The methods of the routes that match the path, best route first, each once.
    OtherMethods(Vec<&'a Method>),
    NoRoute,
}

impl<S> WebService<S> {
    pub fn new(mount: &'static str) -> Self {
        Self {
            mount,
            mount_template: Template::parse(mount),
            produces: None,
            consumes: None,
            routes: Vec::new(),
            plans: Vec::new(),
            tail_plan: Vec::new(),
        }
    }

    /// Adds a route; the full text of a template is kept for the life of the process.
    pub fn add(&mut self, method: Method, template: &'static str, handler: Handler<S>) {
        let text: &'static str = Box::leak(format!("{}{template}", self.mount).into_boxed_str());
        self.routes.push(Route { method, template: Template::parse(text), handler });
    }

    pub fn routes(&self) -> impl Iterator<Item = (&Method, &'static str)> {
        self.routes.iter().map(|route| (&route.method, route.template.text))
    }

    /// Whether the path is below the mount.
    pub fn covers(&self, path: &Segments<'_>) -> bool {
        self.depth() <= path.len() && self.mount_template.matches(path)
    }

    /// How many segments the mount has.
    pub fn depth(&self) -> usize {
        self.mount_template.segments.len()
    }

    /// Sorts the routes once, as go-restful does for every request: statics, parameters, then the template text, each
    /// descending; equal ones stay in the order in which they were added.
    pub fn prepare(&mut self) {
        let mut order: Vec<usize> = (0..self.routes.len()).collect();
        order.sort_by_key(|index| {
            Reverse(
                self.routes
                    .get(*index)
                    .map(|route| (route.template.statics, route.template.params(), route.template.text)),
            )
        });
        let longest = self.routes.iter().map(|route| route.template.segments.len()).max().unwrap_or(0);
        let fitting = |segments: usize| -> Vec<usize> {
            let fits = |index: &usize| self.routes.get(*index).is_some_and(|route| route.template.fits(segments));
            order.iter().copied().filter(fits).collect()
        };
        self.plans = (0..=longest).map(fitting).collect();
        self.tail_plan = fitting(longest + 1);
    }

    pub fn choose(&self, path: &Segments<'_>, method: &Method) -> Choice<'_, S> {
        let plan = self.plans.get(path.len()).unwrap_or(&self.tail_plan);
        let matching =
            || plan.iter().filter_map(|index| self.routes.get(*index)).filter(|route| route.template.matches(path));
        if let Some(route) = matching().find(|route| route.method == *method) {
            return Choice::Route(route);
        }
        let mut others: Vec<&Method> = Vec::new();
        for route in matching() {
            if !others.contains(&&route.method) {
                others.push(&route.method);
            }
        }
        if others.is_empty() { Choice::NoRoute } else { Choice::OtherMethods(others) }
    }
}
