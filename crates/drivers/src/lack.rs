//! What a load balancer cannot do.

/// Something that a route asks for and a load balancer cannot do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lack {
    /// The field of the ModelRoute, such as `spec.algorithm`.
    pub field: &'static str,
    /// What it does instead, for a person.
    pub instead: String,
    /// The route is not carried out at all, since nothing that is near enough can be done: its requests are answered with 503.
    pub is_refused: bool,
}

impl Lack {
    /// Something near is done, or the field is passed over.
    pub fn new(field: &'static str, instead: impl Into<String>) -> Self {
        Self { field, instead: instead.into(), is_refused: false }
    }

    /// Nobody answers the route.
    pub fn refused(field: &'static str, why: impl Into<String>) -> Self {
        Self { field, instead: why.into(), is_refused: true }
    }
}
