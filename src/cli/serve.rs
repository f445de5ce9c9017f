//! `foreman serve`: the service, until a signal.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::CliError;
use super::signals::Signals;
use crate::app::App;
use crate::config::Config;

pub async fn serve(config: Config) -> Result<ExitCode, CliError> {
    let mut signals = Signals::listen()?;
    let app = App::build(config).await?;
    let shutdown = CancellationToken::new();
    let asked = shutdown.clone();
    tokio::spawn(async move {
        signals.next().await;
        asked.cancel();
        signals.end_on_next();
    });
    app.run_until(shutdown).await?;
    Ok(ExitCode::SUCCESS)
}
