//! What every command shares: the program's name, the global flags, the configuration and the
//! client, each made when first needed.

use std::path::PathBuf;

use crate::autostart;
use crate::client::{Client, Endpoint, NEWEST_API, TlsFiles, parse_version};
use crate::config::{self, Config};
use crate::failure::Failure;
use crate::flags::{Flag, FlagGroups, Matches};

/// Where our own daemon listens unless told otherwise.
pub(crate) const DEFAULT_EXEC_ROOT: &str = "/run/skiff";

static GLOBAL: &[Flag] = &[
    Flag::text("config", "Directory of the client's configuration (default \"~/.docker\")"),
    Flag::text("context", "Name of the context to use (beats DOCKER_HOST and \"context use\")")
        .short('c'),
    Flag::switch("debug", "Say more").short('D'),
    Flag::list("host", "Address of the daemon: unix://, tcp:// or ssh://").short('H'),
    Flag::text("log-level", "How much to log: debug, info, warn, error or fatal")
        .short('l')
        .default("info"),
    Flag::switch("tls", "Encrypt TCP; --tlsverify implies it"),
    Flag::text("tlscacert", "Trust only certificates signed by this authority"),
    Flag::text("tlscert", "Certificate to show to the daemon"),
    Flag::text("tlskey", "Key of that certificate"),
    Flag::switch("tlsverify", "Encrypt TCP and check who answers"),
    Flag::switch("version", "Print the version and quit").short('v'),
];

/// The flags that stand before the command.
pub(crate) static GLOBAL_FLAGS: FlagGroups = &[GLOBAL];

/// State shared by the functions of one command.
pub(crate) struct Context {
    /// `skiff`, or `docker` when called so.
    pub(crate) program: &'static str,
    /// The command as shown in messages, without the program.
    pub(crate) path: &'static str,
    globals: Matches,
    config: Option<Config>,
    client: Option<Client>,
}

impl Context {
    /// Checks the global flags.
    pub(crate) fn new(
        program: &'static str,
        path: &'static str,
        globals: Matches,
    ) -> Result<Self, Failure> {
        if globals.is_set("host") && globals.is_set("context") {
            return Err(Failure::new(
                "conflicting options: cannot specify both --host and --context",
            ));
        }
        if globals.all("host").count() > 1 {
            return Err(Failure::new("Please specify only one -H"));
        }
        Ok(Self { program, path, globals, config: None, client: None })
    }

    /// The directory of the client's configuration.
    pub(crate) fn config_dir(&self) -> PathBuf {
        if let Some(dir) = self.globals.given("config") {
            return dir.into();
        }
        if let Some(dir) = std::env::var_os("DOCKER_CONFIG").filter(|dir| !dir.is_empty()) {
            return dir.into();
        }
        config::home().join(".docker")
    }

    /// The client's configuration; an absent file is an empty one.
    pub(crate) fn config(&mut self) -> &mut Config {
        if self.config.is_none() {
            self.config = Some(Config::load(&self.config_dir()));
        }
        self.config.as_mut().expect("set above")
    }

    /// The name of the context that rules, `default` for none.
    pub(crate) fn context_name(&mut self) -> Result<String, Failure> {
        if let Some(name) = self.globals.given("context") {
            return Ok(name.to_owned());
        }
        if self.globals.is_set("host") || env("DOCKER_HOST").is_some() {
            return Ok("default".to_owned());
        }
        if let Some(name) = env("DOCKER_CONTEXT") {
            return Ok(name);
        }
        let current = self.config().text("currentContext").unwrap_or_default();
        Ok(if current.is_empty() { "default".to_owned() } else { current })
    }

    /// The address of the default context: `-H`, `DOCKER_HOST` or none.
    pub(crate) fn explicit_host(&self) -> Option<String> {
        self.globals.given("host").map(str::to_owned).or_else(|| env("DOCKER_HOST"))
    }

    fn tls_files(&self) -> Option<TlsFiles> {
        let verify = self.globals.on("tlsverify")
            || (!self.globals.is_set("tlsverify") && env("DOCKER_TLS_VERIFY").is_some());
        if !verify && !self.globals.on("tls") {
            return None;
        }
        let dir = env("DOCKER_CERT_PATH").map_or_else(|| self.config_dir(), PathBuf::from);
        let file = |flag: &str, name: &str| {
            Some(self.globals.given(flag).map_or_else(|| dir.join(name), PathBuf::from))
        };
        Some(TlsFiles {
            ca: file("tlscacert", "ca.pem"),
            cert: file("tlscert", "cert.pem"),
            key: file("tlskey", "key.pem"),
            verify,
        })
    }

    /// Finds out where the daemon is. The flag says whether it is our own default.
    fn endpoint(&mut self) -> Result<(Endpoint, bool), Failure> {
        let unable = |why: String| {
            Failure::new(format!("Failed to initialize: unable to resolve docker endpoint: {why}"))
        };
        let name = self.context_name()?;
        if name != "default" {
            let endpoint = config::context_endpoint(&self.config_dir(), &name).map_err(unable)?;
            return Ok((endpoint, false));
        }
        match self.explicit_host() {
            Some(host) => {
                let tls = self.tls_files();
                Ok((Endpoint::parse(&host, tls.as_ref()).map_err(unable)?, false))
            }
            None => Ok((Endpoint::Unix(default_socket()), true)),
        }
    }

    /// The client, connected lazily except to our own default daemon, which is started if needed.
    pub(crate) fn client(&mut self) -> Result<&mut Client, Failure> {
        if self.client.is_none() {
            let (endpoint, own) = self.endpoint()?;
            let fixed =
                match env("DOCKER_API_VERSION") {
                    Some(text) => Some(parse_version(&text).ok_or_else(|| {
                        Failure::new(format!("invalid DOCKER_API_VERSION: {text}"))
                    })?),
                    // Our own daemon speaks the newest version, so asking it would be a wasted trip.
                    None => own.then_some(NEWEST_API),
                };
            let headers = self.config().http_headers();
            let mut client = Client::new(endpoint, fixed, headers, self.program);
            if own {
                let connection = autostart::connect_or_start(&client, self.program)?;
                client.adopt(connection);
            }
            self.client = Some(client);
        }
        Ok(self.client.as_mut().expect("set above"))
    }
}

/// The socket of our own daemon.
pub(crate) fn default_socket() -> PathBuf {
    let root = env("SKIFF_EXEC_ROOT").map_or_else(|| DEFAULT_EXEC_ROOT.into(), PathBuf::from);
    root.join("skiff.sock")
}

/// A variable of the environment, unless empty.
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
