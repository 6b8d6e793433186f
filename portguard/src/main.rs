//! The `portguard` program.

use std::process::ExitCode;

use clap::Parser as _;
use portguard::cli::{Cli, Command};
use portguard::exit::{self, Exit};
use portguard::{commands, output};

fn main() -> ExitCode {
    exit::abort_on_panic();
    let done = |()| ExitCode::SUCCESS;
    let Some(command) = Cli::parse().command else {
        output::first_steps();
        return Exit::Usage.into();
    };
    let result = match command {
        Command::Run(arguments) => commands::run::run(arguments).map(done),
        Command::Check(arguments) => commands::check::check(&arguments).map(done),
        Command::Apply(arguments) => commands::apply::apply(&arguments).map(done),
        Command::Confirm(arguments) => commands::apply::confirm(&arguments).map(done),
        Command::Revert(arguments) => commands::apply::revert(&arguments).map(done),
        Command::Detach(arguments) => commands::detach::detach(&arguments).map(done),
        Command::Reload(arguments) => commands::reload::reload(&arguments).map(done),
        Command::Status(arguments) => commands::status::status(&arguments),
        Command::Counters(arguments) => commands::counters::counters(&arguments).map(done),
        Command::Top(arguments) => commands::top::top(&arguments).map(done),
        Command::Events(arguments) => commands::events::events(&arguments).map(done),
        Command::Capture(arguments) => commands::capture::capture(&arguments).map(done),
        Command::Block(arguments) => commands::block::block(&arguments),
        Command::Open(arguments) => commands::block::open(&arguments),
        Command::Rules(arguments) => commands::rules::rules(&arguments).map(done),
        Command::Ban(arguments) => commands::ban::ban(&arguments).map(done),
        Command::Unban(arguments) => commands::unban::unban(&arguments).map(done),
        Command::Bans(arguments) => commands::bans::bans(&arguments).map(done),
        Command::Replay(arguments) => commands::replay::replay(&arguments).map(done),
        Command::Explain(arguments) => commands::explain::explain(&arguments).map(done),
        Command::Diff(arguments) => commands::diff::diff(&arguments),
        Command::Doctor(arguments) => commands::doctor::doctor(&arguments),
        Command::Ports(arguments) => commands::ports::ports(&arguments).map(done),
        Command::Listen(arguments) => commands::listen::listen(&arguments).map(done),
        Command::Stats(arguments) => commands::stats::stats(&arguments).map(done),
        Command::Audit(arguments) => commands::audit::audit(&arguments),
        Command::Suggest(arguments) => commands::suggest::suggest(&arguments).map(done),
        Command::Import(arguments) => commands::import::import(&arguments),
        Command::Schema => commands::schema::schema().map(done),
    };
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            output::failure(&failure);
            failure.exit.into()
        }
    }
}
