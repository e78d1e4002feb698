//! Whether a change of the pod template has reached every pod.

use k8s_openapi::api::apps::v1::Deployment;

/// Whether all pods, and no others, are of the template.
#[must_use]
pub fn runs_only_its_template(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation >= deployment.metadata.generation
            && status.updated_replicas.unwrap_or(0) == wanted
            && status.replicas.unwrap_or(0) == wanted
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::runs_only_its_template;

    #[test]
    fn a_secret_stays_until_no_pod_of_an_older_template_is_left() {
        for (observed, updated, all, is_done) in [(2, 3, 3, true), (1, 3, 3, false), (2, 2, 3, false), (2, 3, 4, false)]
        {
            let deployment = serde_json::from_value(json!({
                "metadata": {"generation": 2}, "spec": {"replicas": 3, "selector": {}, "template": {}},
                "status": {"observedGeneration": observed, "updatedReplicas": updated, "replicas": all},
            }));
            assert_eq!(
                runs_only_its_template(&deployment.expect("a Deployment")),
                is_done,
                "{observed} {updated} {all}"
            );
        }
        assert!(!runs_only_its_template(&k8s_openapi::api::apps::v1::Deployment::default()));
    }
}
