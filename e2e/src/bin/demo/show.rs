//! The end of the demo: what runs where, that it answers, and how to look around.

use std::path::Path;

use skyfleet_e2e::LabError;
use skyfleet_e2e::fleet::{Fleet, HUB, MEMBERS, NAMESPACE, embed};

/// Asked in every cluster; the answers must agree.
const TEXT: &str = "A fleet is more than its ships.";
/// As close as the published model and its copies must be.
const TOLERANCE: f32 = 1e-4;

/// Prints the summary.
pub(super) async fn summary(fleet: &Fleet, examples: &Path) -> Result<(), LabError> {
    println!();
    for kind in ["clusters", "buckets", "datasetreplicas", "modeldeployments"] {
        println!("{}", fleet.kubectl(HUB, &["get", kind, "-n", NAMESPACE], "").await?);
    }
    for member in MEMBERS {
        let pods = fleet.kubectl(member, &["get", "pods", "-n", NAMESPACE, "--no-headers"], "").await?;
        for pod in pods.lines() {
            println!("{member:<9} {pod}");
        }
    }
    println!();
    let endpoints = answers(fleet).await?;
    let kubectl = fleet.artifacts.kubernetes.join("kubectl");
    println!("\nLook around:");
    println!("  export KUBECONFIG={}", fleet.kubeconfig()?.display());
    println!("  export PATH={}:$PATH    # kubectl", kubectl.parent().unwrap_or(&kubectl).display());
    println!("  kubectl get skyfleet");
    println!("  kubectl describe modeldeployment minilm");
    println!("  kubectl scale modeldeployment minilm --replicas 9");
    println!("  kubectl --kubeconfig {} get pods", fleet.lab.cluster(MEMBERS[0])?.kubeconfig().display());
    if let Some(endpoint) = endpoints.first() {
        println!(
            "  curl http://{endpoint}/v1/embeddings -H 'content-type: application/json' -d '{{\"model\": \"all-MiniLM-L6-v2\", \"input\": \"hello\"}}'"
        );
    }
    println!("The manifests are in {}/. End it all with: make demo-down", examples.display());
    Ok(())
}

/// Asks each cluster's Service, prints who answered, and checks that all say the same.
async fn answers(fleet: &Fleet) -> Result<Vec<String>, LabError> {
    let path = "jsonpath={range .status.placements[*]}{.cluster} {.endpoint}\n{end}";
    let placements = fleet.kubectl(HUB, &["get", "modeldeployment", "minilm", "-n", NAMESPACE, "-o", path], "").await?;
    let mut endpoints = Vec::new();
    let mut first: Option<Vec<f32>> = None;
    for (cluster, endpoint) in placements.lines().filter_map(|line| line.split_once(' ')) {
        let failed =
            |why: String| LabError::Missing(format!("the Service of {cluster} at {endpoint} did not answer: {why}"));
        let answer = embed(endpoint, TEXT).await.map_err(failed)?;
        let reference = first.get_or_insert_with(|| answer.vector.clone());
        let difference = reference.iter().zip(&answer.vector).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if difference > TOLERANCE {
            return Err(failed(format!("its embedding differs by {difference:e} from the first cluster's")));
        }
        println!(
            "{cluster:<9} http://{endpoint}  {} dimensions, first {:+.6}, by pod {} in {}",
            answer.vector.len(),
            answer.vector[0],
            answer.pod,
            answer.cluster
        );
        endpoints.push(endpoint.to_owned());
    }
    println!("All three gave the same embedding of {TEXT:?} (within {TOLERANCE:e}).");
    Ok(endpoints)
}
