//! The example inference server seen from a client, and what the published model answers.

use serde::Deserialize;
use serde_json::Value;
use skyfleet_e2e::fleet::embed;

/// What sentence-transformers says to a text.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) text: String,
    pub(crate) embedding: Vec<f32>,
}

/// The published model's vectors.
pub(crate) fn reference() -> Vec<Case> {
    let mut reference: Value =
        serde_json::from_str(include_str!("../../../examples/inference-server/tests/reference.json")).unwrap();
    serde_json::from_value(reference["cases"].take()).unwrap()
}

/// The server's answer to every text of the reference is the published model's.
pub(crate) async fn assert_published_model_at(address: &str) {
    for case in reference() {
        let answer = embed(address, &case.text).await.unwrap();
        assert_eq!(answer.vector.len(), case.embedding.len());
        let difference = answer.vector.iter().zip(&case.embedding).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-4, "{difference:e} at {:?}", case.text);
    }
}
