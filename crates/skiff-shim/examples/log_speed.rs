//! How fast the json-file log takes output: `cargo run --release --example log_speed -- FILE`.
//! `/dev/shm/x` leaves the disk out.

use std::io::Write;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use skiff_shim::log::{Channel, JsonFile, Options};

const TOTAL: usize = 256 << 20;
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
        ("binary", (0..CHUNK).map(|at| ((at * 7919) >> 3) as u8).collect()),
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
        let (begun, used) = (Instant::now(), processor_seconds());
        let mut best = f64::MAX;
        for _ in 0..TOTAL / CHUNK {
            let begun = Instant::now();
            log.write(Channel::Stdout, &data);
            best = best.min(begun.elapsed().as_secs_f64());
        }
        log.finish();
        let (seconds, used) = (begun.elapsed().as_secs_f64(), processor_seconds() - used);
        let megabytes = TOTAL as f64 / 1e6;
        let (by_clock, by_processor) = (megabytes / seconds, megabytes / used);
        // On a machine that others use too, the best piece says most.
        let best = data.len() as f64 / 1e6 / best;
        writeln!(
            out,
            "{name}: {by_clock:.0} MB/s, best {best:.0}, {by_processor:.0} for a processor second"
        )?;
    }
    std::fs::remove_file(path)?;
    Ok(())
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
