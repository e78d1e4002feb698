//! A real browser, Chromium without a window, that does what a person does: for tests of pages. It is told what to do by its driver, in
//! the protocol W3C WebDriver. It reaches nothing but this machine.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use nix::unistd::Uid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::install;

/// For one command; a loaded machine is slow.
const LIMIT: Duration = Duration::from_mins(1);
/// What the driver says once it can be asked, before its port.
const STARTED: &str = "started successfully on port ";

/// Why a browser does not do what it is told.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// Packages are missing.
    #[error("no browser: {0}; or run: lab install --browsers")]
    Missing(#[from] crate::LabError),
    /// The driver or the browser's folder cannot be had.
    #[error("cannot start chromedriver: {0}")]
    Start(#[from] std::io::Error),
    /// The driver ended, or said nothing in time.
    #[error("chromedriver did not say that it has started; it said: {0}")]
    NotStarted(String),
    /// The driver cannot be asked.
    #[error("chromedriver does not answer to {command}: {reason}")]
    Silent {
        /// Method and path.
        command: String,
        /// What went wrong on the way.
        reason: String,
    },
    /// The driver answered with an error.
    #[error("the browser refused {command}: {answer}")]
    Refused {
        /// Method and path.
        command: String,
        /// What the driver said.
        answer: Value,
    },
}

/// A browser with one window. It ends when this is dropped.
pub struct Browser {
    client: Client<HttpConnector, Full<Bytes>>,
    driver: Child,
    address: SocketAddr,
    session: String,
    profile: TempDir,
}

impl Browser {
    /// Starts one.
    ///
    /// # Errors
    /// When its packages are missing, or it does not start.
    pub async fn start() -> Result<Self, BrowserError> {
        install::check_browsers()?;
        let profile = tempfile::tempdir()?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let port = timeout(LIMIT, port(&mut driver)).await.map_err(|_| BrowserError::NotStarted(String::new()))??;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut browser = Self { client, driver, address, session: String::new(), profile };
        let session = browser.command(Method::POST, "/session", Some(capabilities(browser.profile.path()))).await?;
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap_or_default());
        Ok(browser)
    }

    /// Opens an address, and waits until the page and what belongs to it were loaded.
    ///
    /// # Errors
    /// When the page cannot be loaded.
    pub async fn open(&self, url: &str) -> Result<(), BrowserError> {
        self.post("/url", json!({"url": url})).await.map(drop)
    }

    /// What the body of a JavaScript function returns, run in the page.
    ///
    /// # Errors
    /// When the script fails, with its words.
    pub async fn run(&self, script: &str) -> Result<Value, BrowserError> {
        self.post("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// Presses keys, one after the other, wherever the focus is. Keys without a character have one in the protocol: see its table of
    /// "keyboard actions".
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn press(&self, keys: &str) -> Result<(), BrowserError> {
        let press = |key: char| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()}));
        let actions: Vec<Value> = keys.chars().flat_map(press).collect();
        self.post("/actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}))
            .await
            .map(drop)
    }

    /// A command of Chromium's own protocol for developers, such as `Emulation.setEmulatedMedia`.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn tell(&self, command: &str, parameters: Value) -> Result<Value, BrowserError> {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// What came to the console since the last time: errors of scripts, and what a page's policy forbade.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn console(&self) -> Result<Vec<String>, BrowserError> {
        let log = self.post("/se/log", json!({"type": "browser"})).await?;
        let entries = log.as_array().into_iter().flatten();
        Ok(entries.map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect())
    }

    /// Writes what is seen of the page now to a PNG file.
    ///
    /// # Errors
    /// When the browser refuses, or the file cannot be written.
    pub async fn screenshot(&self, file: &Path) -> Result<(), BrowserError> {
        let command = format!("{}/screenshot", self.session);
        let image = self.command(Method::GET, &command, None).await?;
        let image = STANDARD.decode(image.as_str().unwrap_or_default());
        let image = image.map_err(|error| BrowserError::Silent { command, reason: error.to_string() })?;
        Ok(std::fs::write(file, image)?)
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, BrowserError> {
        self.command(Method::POST, &format!("{}{path}", self.session), Some(body)).await
    }

    async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, BrowserError> {
        let command = format!("{method} {path}");
        let silent = |reason: String| BrowserError::Silent { command: command.clone(), reason };
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let request = request.body(Full::from(body)).map_err(|error| silent(error.to_string()))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            let answer: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
            Ok::<_, String>((status, answer["value"].clone()))
        };
        let late = |_| silent(format!("nothing came for {LIMIT:?}"));
        let (status, answer) = timeout(LIMIT, exchange).await.map_err(late)?.map_err(silent)?;
        if status.is_success() { Ok(answer) } else { Err(BrowserError::Refused { command, answer }) }
    }
}

/// Killing the driver would leave the browser behind: the driver is asked to end it, and itself.
impl Drop for Browser {
    fn drop(&mut self) {
        let end = || -> std::io::Result<()> {
            let mut stream = TcpStream::connect_timeout(&self.address, LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            write!(stream, "GET /shutdown HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)?;
            stream.read(&mut [0; 1024]).map(drop)
        };
        if let Err(error) = end() {
            tracing::warn!(%error, pid = self.driver.id(), "cannot end the browser of this chromedriver");
        }
    }
}

/// The port that the driver chose. What it says later is read and forgotten, so that it never waits for a reader.
async fn port(driver: &mut Child) -> Result<u16, BrowserError> {
    let Some(stdout) = driver.stdout.take() else { return Err(BrowserError::NotStarted(String::new())) };
    let (mut lines, mut said) = (BufReader::new(stdout).lines(), String::new());
    while let Some(line) = lines.next_line().await? {
        let port = line.split_once(STARTED).and_then(|(_, port)| port.trim_end_matches('.').parse().ok());
        if let Some(port) = port {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(port);
        }
        said += &line;
    }
    Err(BrowserError::NotStarted(said))
}

fn capabilities(profile: &Path) -> Value {
    let mut flags = vec![
        "--headless=new".to_owned(),
        // Containers have a small one.
        "--disable-dev-shm-usage".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1".to_owned(),
        "--window-size=1200,900".to_owned(),
        format!("--user-data-dir={}", profile.display()),
    ];
    if Uid::effective().is_root() {
        // Chromium's sandbox does not start as root.
        flags.push("--no-sandbox".to_owned());
    }
    json!({"capabilities": {"alwaysMatch": {
        "browserName": "chrome",
        "goog:chromeOptions": {"args": flags},
        "goog:loggingPrefs": {"browser": "ALL"},
    }}})
}
