//! Makes what the lab runs, once a machine, and prints where it is: for the Makefile and for a look.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use skyfleet_e2e::{LabError, artifacts, object_store, tools};

/// Make what the lab runs, and print the paths
#[derive(Parser)]
struct Arguments {
    /// What to make; everything when none is named
    artifacts: Vec<Artifact>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Artifact {
    /// The folder with Kubernetes' own programs
    Kubernetes,
    /// The archive of the pause image
    PauseImage,
    /// The object store's program
    Garage,
    /// The emulator of Azure Blob Storage
    Azurite,
    /// The emulator of Google Cloud Storage
    FakeGcs,
    /// The gateway that makes an object store of a folder
    Versity,
    /// The helm program
    Helm,
    /// The adapter that gives a HorizontalPodAutoscaler its metrics
    MetricsAdapter,
    /// The folder with the demo's model
    Model,
    /// The folder with moto, which speaks as S3 and SQS
    Moto,
    /// The folder with pyarrow, which reads and writes Parquet
    Pyarrow,
    /// The operator's image: its reference and its archive
    SkyfleetImage,
    /// The example inference server's image: its reference and its archive
    InferenceServerImage,
}

fn main() -> ExitCode {
    let asked = Arguments::parse().artifacts;
    let all = if asked.is_empty() { Artifact::value_variants() } else { &asked };
    for artifact in all {
        match make(*artifact) {
            Ok(line) => println!("{line}"),
            Err(error) => {
                eprintln!("artifacts: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn make(artifact: Artifact) -> Result<String, LabError> {
    let image = |image: artifacts::BuiltImage| format!("{} {}", image.reference, image.archive.display());
    Ok(match artifact {
        Artifact::Kubernetes => tools::kubernetes()?.display().to_string(),
        Artifact::PauseImage => tools::pause_image()?.display().to_string(),
        Artifact::Garage => object_store::garage_binary()?.display().to_string(),
        Artifact::Azurite => object_store::azurite_script()?.display().to_string(),
        Artifact::FakeGcs => object_store::fake_gcs_binary()?.display().to_string(),
        Artifact::Versity => object_store::versity_binary()?.display().to_string(),
        Artifact::Helm => artifacts::helm()?.display().to_string(),
        Artifact::MetricsAdapter => artifacts::metrics_adapter()?.display().to_string(),
        Artifact::Model => artifacts::model()?.display().to_string(),
        Artifact::Moto => artifacts::moto()?.display().to_string(),
        Artifact::Pyarrow => artifacts::pyarrow()?.display().to_string(),
        Artifact::SkyfleetImage => image(artifacts::skyfleet_image()?),
        Artifact::InferenceServerImage => image(artifacts::inference_server_image()?),
    })
}
