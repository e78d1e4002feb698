//! A client of the example inference server.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// For one answer; a loaded machine is slow.
const LIMIT: Duration = Duration::from_secs(30);

/// An embedding, and who computed it.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// 384 numbers of a vector of length 1.
    pub vector: Vec<f32>,
    /// The pod that answered.
    pub pod: String,
    /// The member cluster it runs in.
    pub cluster: String,
}

/// Asks the server at `HOST:PORT` for the embedding of a text.
///
/// # Errors
/// When it does not answer, or with anything but an embedding; with what it said.
pub async fn embed(address: &str, text: &str) -> Result<Embedding, String> {
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
    let answer = tokio::time::timeout(LIMIT, exchange).await.map_err(|_| "no answer".to_owned())?;
    let answer = answer.map_err(|error| error.to_string())?;
    let parts = answer.split_once("\r\n\r\n").filter(|(head, _)| head.contains(" 200 "));
    let (head, body) = parts.ok_or_else(|| answer.clone())?;
    let mut body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let vector = serde_json::from_value(body["data"][0]["embedding"].take()).map_err(|error| error.to_string())?;
    Ok(Embedding { vector, pod: header(head, "x-served-by-pod"), cluster: header(head, "x-served-by-cluster") })
}

fn header(head: &str, name: &str) -> String {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let value = lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    value.unwrap_or("unknown").to_owned()
}
