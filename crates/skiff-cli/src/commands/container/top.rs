//! `top`: the processes of a container.

use skiff_api::TopResponse;

use super::path;
use crate::client::Query;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::Matches;
use crate::output::{Table, print_text};

pub(crate) static COMMAND: Command = Command {
    paths: &["container top", "top"],
    usage: "CONTAINER [ps OPTIONS]",
    summary: "Show a container's processes",
    arity: Arity::AtLeast(1),
    flags: &[],
    interspersed: false,
    examples: &[("Choose the columns", "top web -o pid,rss,args")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let (name, options) = flags.args.split_first().expect("checked: at least one argument");
    let path = Query::new(path(name, "/top")).add_given("ps_args", &options.join(" "));
    let processes: TopResponse = context.client()?.get_json(path)?;
    let mut table = Table::with_spacing(20, 1);
    let mut titles = processes.titles.into_vec();
    table.row(&titles);
    titles.clear();
    for process in processes.processes.iter() {
        table.row(process);
    }
    print_text(&table.finish())?;
    Ok(())
}
