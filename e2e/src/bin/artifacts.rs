//! Makes what the lab runs, and prints where it is: for Makefiles and for a look.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use skyfleet_e2e::{LabError, artifacts};

/// Make one of the things that the lab runs, and print its path
#[derive(Parser)]
struct Arguments {
    artifact: Artifact,
}

#[derive(Clone, Copy, ValueEnum)]
enum Artifact {
    /// The helm program
    Helm,
    /// The folder with the demo's model
    Model,
    /// The operator's image: its reference and its archive
    SkyfleetImage,
    /// The example inference server's image: its reference and its archive
    InferenceServerImage,
}

fn main() -> ExitCode {
    match make(Arguments::parse().artifact) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(artifact: Artifact) -> Result<String, LabError> {
    let image = |image: artifacts::BuiltImage| format!("{} {}", image.reference, image.archive.display());
    Ok(match artifact {
        Artifact::Helm => artifacts::helm()?.display().to_string(),
        Artifact::Model => artifacts::model()?.display().to_string(),
        Artifact::SkyfleetImage => image(artifacts::skyfleet_image()?),
        Artifact::InferenceServerImage => image(artifacts::inference_server_image()?),
    })
}
