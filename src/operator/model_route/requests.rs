//! What gateways tell of the requests to a route's replicas, as its status shows it: pure.

use std::collections::BTreeMap;

use skyfleet_api::model_route::RouteClusterStatus;

use crate::operator::gateway_reports::{ClusterFigures, ShownModels, milliseconds_differ, requests_differ};

/// What gateways tell of one cluster, for all ModelDeployments of a route together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    in_flight: i64,
    response_milliseconds: Option<i64>,
}

/// By cluster.
pub(super) fn by_cluster(models: &ShownModels) -> BTreeMap<String, Told> {
    let mut clusters = BTreeMap::<&String, Vec<&ClusterFigures>>::new();
    for (cluster, figures) in models.values().flatten() {
        clusters.entry(cluster).or_default().push(figures);
    }
    clusters.into_iter().map(|(cluster, figures)| (cluster.clone(), together(&figures))).collect()
}

/// Requests are added up; of response times the mean is taken, by how many answers each is of.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a mean of milliseconds is one, too")]
fn together(all: &[&ClusterFigures]) -> Told {
    let times = || all.iter().filter_map(|of| Some((of.response_milliseconds? as f64, of.answers.max(0.001))));
    let weight: f64 = times().map(|(_, weight)| weight).sum();
    let sum: f64 = times().map(|(time, weight)| time * weight).sum();
    Told {
        in_flight: all.iter().map(|of| of.in_flight).sum(),
        response_milliseconds: (weight > 0.0).then(|| (sum / weight).round() as i64),
    }
}

/// Enters what is told now; what differs little from what the status says stays as it is.
pub(super) fn enter(status: &mut RouteClusterStatus, told: Option<&Told>) {
    let in_flight = told.map(|told| told.in_flight);
    if !is_near(status.in_flight, in_flight, requests_differ) {
        status.in_flight = in_flight;
    }
    let milliseconds = told.and_then(|told| told.response_milliseconds);
    if !is_near(status.response_milliseconds, milliseconds, milliseconds_differ) {
        status.response_milliseconds = milliseconds;
    }
}

fn is_near(said: Option<i64>, told: Option<i64>, differ: impl Fn(i64, i64) -> bool) -> bool {
    said.zip(told).is_some_and(|(said, told)| !differ(said, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_taken_together_by_their_answers() {
        let figures = |in_flight, response_milliseconds, answers| {
            let figures = ClusterFigures { in_flight, response_milliseconds, answers };
            BTreeMap::from([("aws-1".to_owned(), figures)])
        };
        let models =
            [("a", figures(3, Some(100), 30.0)), ("b", figures(1, Some(500), 10.0)), ("c", figures(2, None, 0.0))];
        let told = by_cluster(&models.map(|(name, of)| (name.to_owned(), of)).into());
        assert_eq!(told["aws-1"], Told { in_flight: 6, response_milliseconds: Some(200) });
        let idle = by_cluster(&[("c".to_owned(), figures(0, None, 0.0))].into());
        assert_eq!(idle["aws-1"], Told::default());
    }

    #[test]
    fn what_differs_little_stays_and_what_nobody_tells_goes() {
        let said = |in_flight, response_milliseconds| RouteClusterStatus {
            in_flight,
            response_milliseconds,
            ..RouteClusterStatus::default()
        };
        for (before, told, after) in [
            (said(None, None), Some((0, None)), said(Some(0), None)),
            (said(Some(10), Some(100)), Some((12, Some(120))), said(Some(10), Some(100))),
            (said(Some(10), Some(100)), Some((13, Some(120))), said(Some(13), Some(100))),
            (said(Some(10), Some(100)), Some((10, Some(126))), said(Some(10), Some(126))),
            (said(Some(10), Some(100)), Some((10, None)), said(Some(10), None)),
            (said(Some(10), Some(100)), None, said(None, None)),
        ] {
            let told = told.map(|(in_flight, response_milliseconds)| Told { in_flight, response_milliseconds });
            let mut status = before.clone();
            enter(&mut status, told.as_ref());
            assert_eq!(status, after, "{told:?}");
        }
    }
}
