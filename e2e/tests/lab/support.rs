//! What every scenario needs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use skyfleet_e2e::{Backend, ClusterSpec, Lab, LabSpec, tools};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A lab of the test's own that ends with the test; in namespaces also where kind is there, for tests look into those.
pub(crate) async fn lab(test: &str, clusters: Vec<ClusterSpec>) -> Lab {
    remove_forgotten_labs().await;
    let name = lab_name(test);
    match Lab::up_on(Backend::Namespaces, LabSpec { name: name.clone(), clusters }).await {
        Ok(lab) => lab.down_on_drop(),
        Err(error) => {
            let _ = skyfleet_e2e::remove(&name).await;
            panic!("{error}");
        }
    }
}

/// `test-TEST-PID`, so that several runs of the tests go on at once.
pub(crate) fn lab_name(test: &str) -> String {
    format!("test-{test}-{}", std::process::id())
}

/// Removes what runs that were killed have left.
async fn remove_forgotten_labs() {
    for name in skyfleet_e2e::labs().unwrap() {
        let owner = name.strip_prefix("test-").and_then(|rest| rest.rsplit_once('-')?.1.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            skyfleet_e2e::remove(&name).await.unwrap();
        }
    }
}

/// Polls until the attempt succeeds; generous, since a loaded machine is slow and not broken.
pub(crate) async fn eventually<T, E: Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    attempt: impl Fn() -> F,
) -> T {
    let start = Instant::now();
    loop {
        match tokio::time::timeout(Duration::from_secs(30), attempt()).await {
            Ok(Ok(value)) => return value,
            other if start.elapsed() > Duration::from_mins(5) => panic!("{what}: {:?}", other.map(Result::err)),
            _ => tokio::time::sleep(Duration::from_millis(250)).await,
        }
    }
}

/// Posts JSON, over plain HTTP.
pub(crate) async fn post(address: &str, path: &str, body: &str) -> Result<String, String> {
    post_within(PATIENCE, address, path, body).await
}

/// The same for what may take longer.
pub(crate) async fn post_within(limit: Duration, address: &str, path: &str, body: &str) -> Result<String, String> {
    let length = body.len();
    let head = "Host: localhost\r\nContent-Type: application/json";
    let request = format!("POST {path} HTTP/1.0\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    exchange(limit, address, &request).await
}

/// How long anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The body of a plain HTTP GET.
pub(crate) async fn get(address: &str, path: &str) -> Result<String, String> {
    exchange(PATIENCE, address, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")).await
}

async fn exchange(limit: Duration, address: &str, request: &str) -> Result<String, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(limit, exchange).await.map_err(|_| "no answer".to_owned())?;
    let answer = answer.map_err(|error| error.to_string())?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => Err(answer),
    }
}

/// Writes files, by their paths below a folder.
pub(crate) fn write_files(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// kubectl's standard output.
pub(crate) async fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Result<String, String> {
    let binary = binaries().await.join("kubectl");
    let mut command = tokio::process::Command::new(binary);
    // What kubectl remembers of a server is by its address, and another lab's cluster may just have had the same one.
    let cache = kubeconfig.with_file_name("kubectl-cache");
    command.arg("--kubeconfig").arg(kubeconfig).arg("--cache-dir").arg(cache);
    let output = command.args(arguments).output().await.unwrap();
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The Kubernetes binaries.
pub(crate) async fn binaries() -> PathBuf {
    tokio::task::spawn_blocking(tools::kubernetes).await.unwrap().unwrap()
}
