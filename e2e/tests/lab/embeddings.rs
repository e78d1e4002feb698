//! The example inference server seen from a client, and what the published model answers.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What sentence-transformers says to a text.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) text: String,
    pub(crate) embedding: Vec<f32>,
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) embedding: Vec<f32>,
    /// The response's head, in lower case.
    pub(crate) head: String,
}

/// The published model's vectors.
pub(crate) fn reference() -> Vec<Case> {
    let mut reference: Value =
        serde_json::from_str(include_str!("../../../examples/inference-server/tests/reference.json")).unwrap();
    serde_json::from_value(reference["cases"].take()).unwrap()
}

/// Asks the server at `HOST:PORT` for one embedding.
pub(crate) async fn embed(address: &str, text: &str) -> Result<Answer, String> {
    let body = json!({ "model": "all-MiniLM-L6-v2", "input": text }).to_string();
    let request = format!(
        "POST /v1/embeddings HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), exchange).await.map_err(|_| "no answer".to_owned())?;
    let answer = answer.map_err(|error| error.to_string())?;
    let (head, body) =
        answer.split_once("\r\n\r\n").filter(|(head, _)| head.contains(" 200 ")).ok_or(answer.clone())?;
    let mut body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let embedding = serde_json::from_value(body["data"][0]["embedding"].take()).map_err(|error| error.to_string())?;
    Ok(Answer { embedding, head: head.to_lowercase() })
}

/// The server's answer to every text of the reference is the published model's.
pub(crate) async fn assert_published_model_at(address: &str) {
    for case in reference() {
        let answer = embed(address, &case.text).await.unwrap();
        assert_eq!(answer.embedding.len(), case.embedding.len());
        let difference = answer.embedding.iter().zip(&case.embedding).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-4, "{difference:e} at {:?}", case.text);
    }
}
