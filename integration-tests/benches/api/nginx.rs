//! nginx as the backend of both proxies, and as the proxy to compare with.

use std::process::Command;
use std::time::Duration;

use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::daemon::{Daemon, Ready};
use bcs_integration_tests::ports::Port;
use bcs_integration_tests::process::command;
use bcs_integration_tests::wait::eventually;
use bcs_integration_tests::workdir::WorkDir;
use tokio::net::TcpStream;

/// A running nginx.
pub struct Nginx {
    daemon: Daemon,
    ports: [Port; 2],
}

/// Whether there is one.
pub fn is_installed() -> bool {
    ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"]
        .iter()
        .any(|path| std::path::Path::new(path).exists())
}

impl Nginx {
    /// Two files: 1 KB and 100 MB.
    pub async fn backend() -> Self {
        Self::start("nginx-backend", 1, |dir, [http, _]| {
            std::fs::create_dir_all(dir.path().join("www/bcsstorage/v1")).unwrap();
            dir.write("www/bcsstorage/v1/small", "x".repeat(1024));
            let big = std::fs::File::create(dir.path().join("www/bcsstorage/v1/big")).unwrap();
            big.set_len(100 << 20).unwrap();
            format!("server {{ listen 127.0.0.1:{http}; root {}/www; }}", dir.path().display())
        })
        .await
    }

    /// A proxy to a backend, that makes of a path what bcs-api makes of it.
    pub async fn proxy(backend: &Self, certs: &Certs) -> Self {
        let (backend, cert, key) = (backend.http(), certs.server_cert(), certs.server_key());
        Self::start("nginx", 2, |_, [http, https]| {
            format!(
                "upstream backend {{ server 127.0.0.1:{backend}; keepalive 64; }}
                server {{
                    listen 127.0.0.1:{http};
                    listen 127.0.0.1:{https} ssl;
                    ssl_certificate {};
                    ssl_certificate_key {};
                    ssl_session_cache shared:tls:10m;
                    location /bcsapi/v4/storage/ {{
                        proxy_pass http://backend/bcsstorage/v1/;
                        proxy_http_version 1.1;
                        proxy_set_header Connection \"\";
                        proxy_set_header Host $host;
                        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                    }}
                }}",
                cert.display(),
                key.display()
            )
        })
        .await
    }

    async fn start(name: &str, workers: usize, servers: impl FnOnce(&WorkDir, [u16; 2]) -> String) -> Self {
        let ports = [Port::claim(), Port::claim()];
        let dir = WorkDir::new(name);
        std::fs::create_dir_all(dir.path().join("tmp")).unwrap();
        let servers = servers(&dir, [ports[0].number(), ports[1].number()]);
        let own = dir.path().display();
        let config = format!(
            "daemon off; user root; worker_processes {workers}; pid {own}/nginx.pid; error_log {own}/error.log;
            events {{ worker_connections 2048; }}
            http {{
                access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000000;
                client_body_temp_path {own}/tmp/body; proxy_temp_path {own}/tmp/proxy;
                fastcgi_temp_path {own}/tmp/fastcgi; uwsgi_temp_path {own}/tmp/uwsgi; scgi_temp_path {own}/tmp/scgi;
                {servers}
            }}"
        );
        dir.write("nginx.conf", config);
        let launch = |dir: &std::path::Path| -> Command {
            let mut nginx = command("nginx", dir);
            nginx.arg("-e").arg(dir.join("error.log")).arg("-p").arg(dir).args(["-c", "nginx.conf"]);
            nginx
        };
        let daemon = Daemon::start(name, dir, ports[0].address(), Ready::Listens, launch).await;
        let address = ports[0].address();
        eventually("nginx listens", Duration::from_secs(10), async || TcpStream::connect(address).await.is_ok()).await;
        Self { daemon, ports }
    }

    /// Ends it in order: a kill of the master would leave its workers behind.
    pub async fn stop(mut self) {
        self.daemon.stop().await;
    }

    /// The plain port.
    pub fn http(&self) -> u16 {
        self.ports[0].number()
    }

    /// The port with TLS.
    pub fn https(&self) -> u16 {
        self.ports[1].number()
    }

    /// Memory of the master and its workers.
    pub fn resident(&self) -> String {
        let pid = std::fs::read_to_string(self.daemon.dir().path().join("nginx.pid")).unwrap();
        let pid = pid.trim();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let of = |pid: &str| -> u64 {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:").map(str::to_owned));
            line.and_then(|line| line.trim().strip_suffix(" kB").and_then(|kib| kib.trim().parse().ok())).unwrap_or(0)
        };
        let kib: u64 = of(pid) + children.split_whitespace().map(of).sum::<u64>();
        format!("{:.1} MB", kib as f64 / 1024.0)
    }
}
