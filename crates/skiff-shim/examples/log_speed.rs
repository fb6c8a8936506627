//! How fast the json-file log takes output: `cargo run --release --example log_speed -- FILE`.
//! `/dev/shm/x` leaves the disk out.

use std::io::Write;
use std::time::Instant;

use skiff_shim::log::{Channel, JsonFile, Options};

const TOTAL: usize = 1 << 30;
const CHUNK: usize = 1 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("a file, please")?;
    let text = |line: &str| line.repeat(CHUNK / line.len()).into_bytes();
    let lines = |len: usize| text(&format!("{}\n", "x".repeat(len - 1)));
    let cases = [
        ("lines of 100 bytes", lines(100)),
        ("lines of 20 bytes", lines(20)),
        ("one long line", vec![b'x'; CHUNK]),
        ("json with quotes", text("{\"level\":\"info\",\"msg\":\"request done\",\"ms\":12}\n")),
        ("german", text("Größenänderung übermäßig häufig überprüfen: läuft schön weiter so\n")),
        ("binary", (0..CHUNK).map(|at| (at * 7919 >> 3) as u8).collect()),
    ];
    let mut out = std::io::stdout();
    for (name, data) in cases {
        let options = Options {
            path: (&path).into(),
            max_size: 100 << 20,
            max_file: 1,
            compress: false,
            attrs: Default::default(),
        };
        let mut log = JsonFile::open(options)?;
        let begun = Instant::now();
        for _ in 0..TOTAL / CHUNK {
            log.write(Channel::Stdout, &data);
        }
        log.finish();
        let seconds = begun.elapsed().as_secs_f64();
        writeln!(out, "{name}: {:.0} MB/s", TOTAL as f64 / 1e6 / seconds)?;
    }
    std::fs::remove_file(path)?;
    Ok(())
}
