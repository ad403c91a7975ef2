//! The `dredis` command: reads its configuration, then serves, checks or repairs.

use dredis::check;
use dredis::config::{self, Invocation, Task};
use dredis::server;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Invocation { task, config, warnings } = match config::load(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(exit) if exit.code == 0 => {
            print!("{}", exit.text);
            return ExitCode::SUCCESS;
        }
        Err(exit) => {
            eprintln!("{}", exit.text.trim_end());
            return ExitCode::from(exit.code);
        }
    };
    let level = if config.debug { "debug" } else { "info" };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).init();
    for warning in &warnings {
        log::warn!("{warning}");
    }
    match task {
        Task::Serve => ExitCode::from(server::serve(config)),
        Task::Check { dir, json } => ExitCode::from(check::run(&dir, json)),
        Task::Repair { dir, json } => ExitCode::from(check::repair::run(&dir, json)),
    }
}
