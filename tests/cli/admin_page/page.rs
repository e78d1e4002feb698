//! The page as a browser has it.

use std::path::Path;

use serde_json::Value;
use skyfleet_e2e::browser::Browser;

use super::gateway::until;

/// The page in a browser.
pub(super) struct Page(pub(super) Browser);

impl Page {
    /// What a script in the page gives.
    pub(super) async fn run(&self, script: &str) -> Value {
        self.0.run(script).await.unwrap()
    }

    /// The text of all that is seen.
    pub(super) async fn text(&self) -> String {
        self.run("return document.body.innerText").await.as_str().unwrap().to_owned()
    }

    pub(super) async fn shows(&self, text: &str) {
        until(text, async || self.text().await.contains(text)).await;
    }

    /// The cells of the row of a cluster; none if there is no such row.
    pub(super) async fn row(&self, cluster: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll('tbody tr')].map((row) => [...row.children].map((cell) => cell.innerText))";
        let rows: Vec<Vec<String>> = serde_json::from_value(self.run(script).await).unwrap();
        rows.into_iter().find(|row| row[0] == cluster).unwrap_or_default()
    }

    pub(super) async fn shows_in_row(&self, cluster: &str, column: usize, text: &str) {
        let holds = async || self.row(cluster).await.get(column).is_some_and(|cell| cell == text);
        until(&format!("{text} at {cluster}"), holds).await;
    }

    /// The routes that are seen.
    pub(super) async fn routes(&self) -> Vec<String> {
        let script =
            "return [...document.querySelectorAll('main section:not([hidden]) h2')].map((name) => name.textContent)";
        serde_json::from_value(self.run(script).await).unwrap()
    }

    pub(super) async fn screenshot(&self, name: &str) {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("admin-page-{name}.png"));
        self.0.screenshot(&file).await.unwrap();
        println!("{}", file.display());
    }
}
