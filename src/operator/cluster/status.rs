//! Says how a member is.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use skyfleet_api::conditions::{ConditionType, Finding, Reason, Status, conditions, is_true, whole_seconds};
use skyfleet_api::{Cluster, ClusterStatus};
use skyfleet_plan::failover::flapping;

use super::validate::Refusal;
use crate::operator::fleet::{Access, Report};

/// The status of a Cluster whose connection was refused, or of whose member this is known.
pub(super) fn status(cluster: &Cluster, member: Result<Report, &Refusal>, now: Timestamp) -> ClusterStatus {
    let earlier = cluster.status.clone().unwrap_or_default();
    let generation = cluster.metadata.generation;
    match member {
        // A new leader, or a connection with a renewed token, has heard nothing yet: that is no reason to doubt the member.
        Ok(report) if report.reachable.is_none() && is_ready(cluster) => earlier,
        Ok(report) => {
            let findings = findings(&report);
            let (last_loss, flap_penalty) = losses(&earlier, report.reachable, now);
            let known = report.inventory.clone();
            let conditions = conditions(&earlier.conditions, &findings, generation, now);
            ClusterStatus {
                observed_generation: generation,
                conditions,
                version: report.version.or(earlier.version),
                nodes: known.as_ref().map(|known| known.nodes).or(earlier.nodes),
                allocatable: known.as_ref().map_or(earlier.allocatable, |known| known.allocatable.clone()),
                allocated: known.map_or(earlier.allocated, |known| known.allocated),
                round_trip_milliseconds: report.round_trip_milliseconds,
                last_contact: last_contact(report.reachable, report.last_contact, earlier.last_contact),
                last_loss,
                flap_penalty,
            }
        }
        Err(refusal) => {
            let mut findings = Finding::stalled(refusal.reason, refusal.message.clone());
            findings.extend(unknown(refusal.reason));
            ClusterStatus {
                observed_generation: generation,
                conditions: conditions(&earlier.conditions, &findings, generation, now),
                ..earlier
            }
        }
    }
}

/// Whether the Cluster as it is now was found to be Ready.
fn is_ready(cluster: &Cluster) -> bool {
    cluster.status.as_ref().is_some_and(|status| {
        status.observed_generation == cluster.metadata.generation && is_true(&status.conditions, ConditionType::Ready)
    })
}

/// The status of a Cluster that is being deleted and waits.
pub(super) fn leaving(
    cluster: &Cluster,
    member: Result<Report, &Refusal>,
    wait: &str,
    now: Timestamp,
) -> ClusterStatus {
    let mut status = status(cluster, member, now);
    let mut findings = Finding::reconciling(Reason::Deleting, wait);
    findings.extend(status.conditions.iter().filter_map(kept));
    status.conditions = conditions(&status.conditions, &findings, cluster.metadata.generation, now);
    status
}

/// Reachable and `CredentialsValid` stay as they are while the Cluster waits to go.
fn kept(condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition) -> Option<Finding> {
    let kind = [ConditionType::Reachable, ConditionType::CredentialsValid]
        .into_iter()
        .find(|kind| kind.to_string() == condition.type_)?;
    let status = match condition.status.as_str() {
        "True" => Status::True,
        "False" => Status::False,
        _ => Status::Unknown,
    };
    Some(Finding::new(kind, status, Reason::Deleting, condition.message.clone()))
}

/// After a restart the operator does not know when it last had contact; what it wrote then is the best there is.
fn last_contact(reachable: Option<bool>, known: Option<Timestamp>, earlier: Option<Time>) -> Option<Time> {
    if reachable == Some(true) { None } else { known.map(|time| Time(whole_seconds(time))).or(earlier) }
}

/// When contact was lost last, and how unsteady it had been: renewed when what answered before does not any more.
fn losses(earlier: &ClusterStatus, reachable: Option<bool>, now: Timestamp) -> (Option<Time>, Option<i32>) {
    let lost = reachable == Some(false) && is_true(&earlier.conditions, ConditionType::Reachable);
    if !lost {
        return (earlier.last_loss.clone(), earlier.flap_penalty);
    }
    let before = earlier.last_loss.as_ref().map(|time| time.0);
    let penalty = flapping::after_loss(earlier.flap_penalty.unwrap_or_default(), before, now);
    (Some(Time(whole_seconds(now))), Some(penalty))
}

fn unknown(reason: Reason) -> [Finding; 2] {
    [ConditionType::Reachable, ConditionType::CredentialsValid]
        .map(|kind| Finding::new(kind, Status::Unknown, reason, "not tried"))
}

fn findings(report: &Report) -> Vec<Finding> {
    match report.reachable {
        None => {
            let mut findings = Finding::reconciling(Reason::NotProbedYet, "waiting for the first answer");
            findings.extend(unknown(Reason::NotProbedYet));
            findings
        }
        Some(false) => {
            let error = report.error.as_deref().unwrap_or("no answer");
            let message = format!(
                "the API server does not answer ({error}); its pods are left as they are and nothing is changed there until it does"
            );
            let mut findings = Finding::reconciling(Reason::NotAnswering, message.clone());
            findings.push(Finding::new(ConditionType::Reachable, false, Reason::NotAnswering, message));
            let access = "not known while the API server does not answer";
            findings.push(Finding::new(ConditionType::CredentialsValid, Status::Unknown, Reason::NotAnswering, access));
            findings
        }
        Some(true) => answering(&report.access),
    }
}

fn answering(access: &Access) -> Vec<Finding> {
    let reachable = Finding::new(ConditionType::Reachable, true, Reason::Answering, "the API server answers");
    let valid =
        |status: Status, reason, message: &str| Finding::new(ConditionType::CredentialsValid, status, reason, message);
    let (mut findings, credentials) = match access {
        Access::Granted => (
            Finding::ready("the cluster can take replicas"),
            valid(Status::True, Reason::AsSpecified, "the API server accepts the credentials"),
        ),
        Access::Refused(message) => {
            let message = format!("the API server refuses the credentials ({message}): renew the Secret");
            (
                Finding::stalled(Reason::CredentialsRefused, message.clone()),
                valid(Status::False, Reason::CredentialsRefused, &message),
            )
        }
        Access::Denied(message) => {
            let message = format!(
                "the credentials do not allow what is needed ({message}): apply examples/member-access.yaml there"
            );
            (
                Finding::stalled(Reason::PermissionDenied, message.clone()),
                valid(Status::True, Reason::PermissionDenied, &message),
            )
        }
        Access::Unknown => (
            Finding::reconciling(Reason::NotProbedYet, "waiting for the first answer"),
            valid(Status::Unknown, Reason::NotProbedYet, "not tried"),
        ),
    };
    findings.extend([reachable, credentials]);
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skyfleet_api::conditions::find;

    use super::*;

    fn cluster(status: Option<ClusterStatus>) -> Cluster {
        let mut cluster: Cluster = serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "Cluster",
            "metadata": {"name": "aws-1", "generation": 3},
            "spec": {"provider": "aws", "region": "r", "connection": {"kubeconfigSecretRef": {"name": "k"}}},
        }))
        .expect("a Cluster");
        cluster.status = status;
        cluster
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number of seconds")
    }

    fn report() -> Report {
        Report {
            reachable: Some(true),
            access: Access::Granted,
            version: Some("v1.34.4".to_owned()),
            round_trip_milliseconds: Some(5),
            ..Report::default()
        }
    }

    #[test]
    fn a_lost_member_keeps_what_was_known_and_says_when_it_was_last_heard() {
        let good = status(&cluster(None), Ok(report()), at(10));
        assert!(is_true(&good.conditions, ConditionType::Ready) && is_true(&good.conditions, ConditionType::Reachable));
        assert_eq!(good.last_contact, None);
        let lost = Report { reachable: Some(false), last_contact: Some(at(12)), ..Report::default() };
        let lost = status(&cluster(Some(good)), Ok(lost), at(40));
        assert_eq!(find(&lost.conditions, ConditionType::Reachable).map(|c| c.status.as_str()), Some("False"));
        assert_eq!(lost.version.as_deref(), Some("v1.34.4"));
        assert_eq!(lost.last_contact, Some(Time(at(12))));
        assert_eq!((lost.last_loss.clone(), lost.flap_penalty), (Some(Time(at(40))), Some(1000)));
        // A restarted operator has no memory of the contact; the status keeps it.
        let again = Report { reachable: Some(false), ..Report::default() };
        assert_eq!(status(&cluster(Some(lost.clone())), Ok(again), at(90)).last_contact, lost.last_contact);
    }

    #[test]
    fn the_same_knowledge_later_gives_the_same_status() {
        let first = status(&cluster(None), Ok(report()), at(10));
        assert_eq!(status(&cluster(Some(first.clone())), Ok(report()), at(99)), first);
    }

    #[test]
    fn a_new_connection_does_not_doubt_a_ready_member_but_a_changed_spec_does() {
        let good = status(&cluster(None), Ok(report()), at(10));
        assert_eq!(status(&cluster(Some(good.clone())), Ok(Report::default()), at(20)), good);
        let mut changed = cluster(Some(good));
        changed.metadata.generation = Some(4);
        let doubted = status(&changed, Ok(Report::default()), at(20));
        assert!(is_true(&doubted.conditions, ConditionType::Reconciling));
    }

    #[test]
    fn refused_credentials_are_not_a_lost_member() {
        let refused = Report { access: Access::Refused("Unauthorized".to_owned()), ..report() };
        let refused = status(&cluster(None), Ok(refused), at(1));
        assert!(is_true(&refused.conditions, ConditionType::Reachable));
        assert_eq!(
            find(&refused.conditions, ConditionType::CredentialsValid).map(|c| c.status.as_str()),
            Some("False")
        );
        assert!(is_true(&refused.conditions, ConditionType::Stalled));
    }

    #[test]
    fn a_departure_keeps_the_conditions_on_contact() {
        let good = status(&cluster(None), Ok(report()), at(10));
        let going = leaving(&cluster(Some(good)), Ok(report()), "two replicas", at(20));
        assert!(
            is_true(&going.conditions, ConditionType::Reachable)
                && is_true(&going.conditions, ConditionType::Reconciling)
        );
        assert_eq!(find(&going.conditions, ConditionType::Ready).map(|c| c.reason.as_str()), Some("Deleting"));
    }
}
