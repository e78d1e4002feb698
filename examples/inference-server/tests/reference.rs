//! The server's embeddings against those of the published model, on its real weights.
//!
//! `MODEL_DIR` names the directory with the weights, which the end-to-end crate fetches (`skyfleet_e2e::artifacts::model`).
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use inference_server::embedder::Embedder;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    max_sequence_length: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    embedding: Vec<f32>,
}

#[test]
fn embeddings_equal_the_published_models() {
    let dir = PathBuf::from(std::env::var_os("MODEL_DIR").expect("MODEL_DIR names the model's directory"));
    let reference: Reference = serde_json::from_str(include_str!("reference.json")).unwrap();
    let embedder = Embedder::load(&dir, reference.max_sequence_length).unwrap();
    let mut worst: f32 = 0.0;
    for case in &reference.cases {
        let vector = embedder.embed(&case.text).unwrap().vector;
        assert_eq!(vector.len(), case.embedding.len());
        let difference = vector.iter().zip(&case.embedding).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{difference:.2e} {:?}", case.text.chars().take(40).collect::<String>());
        worst = worst.max(difference);
    }
    assert!(worst < 1e-4, "largest difference {worst:e}");
}
