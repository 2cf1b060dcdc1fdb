//! How each server is set up: as well as its documentation advises for one processor and answers of 8 KiB, and as
//! equal to the others as they can be. The reasons stand beside the settings.
//!
//! Equal are: one processor, connections that stay open, TCP_NODELAY (each server sets it by itself, nginx is told),
//! no line in a log for each request, the origin, and what it says about how long its answers hold.

use super::origin::TAG;
use crate::limits;
use std::net::SocketAddr;
use std::path::Path;

/// edge-node's manifest: the guest behind the cache, and the same guest without it.
pub fn manifest(guest: &Path, origin: SocketAddr) -> String {
    let guest = guest.display();
    format!(
        r#"spin_manifest_version = 2
[application]
name = "bench"
[[trigger.http]]
route = "/origin/..."
component = "origin"
[component.origin]
source = "{guest}"
environment = {{ ORIGIN = "http://{origin}" }}
allowed_outbound_hosts = ["http://{origin}"]
[[trigger.http]]
route = "/render"
component = "render"
[component.render]
source = "{guest}"
[component.render.tool.tiffin]
cache = false
instance_concurrency = {INSTANCE_CONCURRENCY}
"#
    )
}

/// Requests that one instance handles at a time: the default of edge-node and of `wasmtime serve`.
const INSTANCE_CONCURRENCY: usize = 16;
/// Requests after which edge-node replaces an instance (its `MAX_REQUESTS_PER_INSTANCE`).
const INSTANCE_REQUESTS: usize = 10_000;
/// How long it keeps an idle one (its `INSTANCE_IDLE`).
const INSTANCE_IDLE: &str = "30s";

/// Arguments of wasmtime behind its name: instances are used again as often as in edge-node. It pools instances
/// unasked. It does not interrupt guests, which makes them faster; edge-node has to.
pub fn wasmtime_arguments(guest: &Path, address: SocketAddr) -> Vec<String> {
    let mut arguments: Vec<String> = ["serve", "-S", "p3,cli", "-W", "component-model-async"]
        .map(str::to_owned)
        .into_iter()
        .collect();
    for (flag, value) in [
        ("--addr", address.to_string()),
        ("--max-instance-reuse-count", INSTANCE_REQUESTS.to_string()),
        ("--max-instance-concurrent-reuse-count", INSTANCE_CONCURRENCY.to_string()),
        ("--idle-instance-timeout", INSTANCE_IDLE.to_owned()),
    ] {
        arguments.extend([flag.to_owned(), value]);
    }
    arguments.push(guest.display().to_string());
    arguments
}

/// workerd's configuration; `menu.js` and `menu.json` lie beside it. It is one thread by design.
pub fn workerd(address: SocketAddr) -> String {
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "menu", worker = .menu)],
  sockets = [(name = "http", address = "{address}", http = (), service = "menu")],
);
const menu :Workerd.Worker = (
  modules = [
    (name = "menu.js", esModule = embed "menu.js"),
    (name = "menu.json", text = embed "menu.json"),
  ],
  compatibilityDate = "2026-01-01",
);
"#
    )
}

/// nginx's configuration. `folder` is in memory where the system has such a place, so that no disk is measured.
/// `user` is whom its worker runs as, if the master is root.
pub fn nginx(
    folder: &Path,
    address: SocketAddr,
    origin: SocketAddr,
    user: Option<&str>,
    logged: bool,
) -> String {
    let folder = folder.display();
    let user = user.map(|user| format!("user {user};\n")).unwrap_or_default();
    // Buffered, as edge-node's lines are.
    let access_log = match logged {
        true => format!("access_log {folder}/access.log combined buffer=64k flush=1s;"),
        false => "access_log off;".to_owned(),
    };
    format!(
        r#"{user}daemon off;  # the benchmark holds it
worker_processes 1;  # one processor
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{
  worker_connections 4096;  # a crowd, and the origin
}}
http {{
  {access_log}
  sendfile on;  # a hit goes from the page cache to the socket
  tcp_nopush on;  # with its head in the same packet
  tcp_nodelay on;
  keepalive_timeout 300s;
  keepalive_requests 100000000;  # the default closes a connection after 1,000
  open_file_cache max=4096 inactive=600s;  # no open(2) for each hit
  open_file_cache_valid 600s;
  open_file_cache_min_uses 1;
  default_type application/json;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  # Renamed within the cache's own folder, as its manual advises.
  proxy_cache_path {folder}/cache levels=1:2 keys_zone=menus:16m max_size=256m inactive=24h use_temp_path=off;
  upstream origin {{
    server {origin} max_fails=0;  # or it would be left alone after one failure
    keepalive 64;
  }}
  server {{
    listen {address} backlog=1024;
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache menus;
      proxy_cache_key $request_uri;
      proxy_cache_revalidate on;  # as edge-node: If-None-Match for what has expired
      proxy_cache_lock on;  # one fetch for all who ask at once
      proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
    }}
  }}
}}
"#
    )
}

/// Varnish's program: its own rules, which honour `Cache-Control`, and a grace as long as the origin's
/// stale-if-error.
pub fn varnish(origin: SocketAddr) -> String {
    format!(
        r#"vcl 4.1;
backend origin {{ .host = "{}"; .port = "{}"; }}
sub vcl_backend_response {{ set beresp.grace = {}s; }}
"#,
        origin.ip(),
        origin.port(),
        limits::STALE_IF_ERROR_S
    )
}

/// Arguments of varnishd behind its name.
pub fn varnish_arguments(folder: &Path, program: &Path, address: SocketAddr) -> Vec<String> {
    let mut arguments = Vec::new();
    for (flag, value) in [
        // First, as it insists. Everything here is the benchmark's own user's.
        ("-j", "none".to_owned()),
        ("-n", folder.join("varnish").display().to_string()),
        ("-f", program.display().to_string()),
        ("-a", address.to_string()),
        ("-s", "malloc,256m".to_owned()),
        // A pool for the one processor, of a thread for each connection of a crowd; none is started or ended while
        // it is measured.
        ("-p", "thread_pools=1".to_owned()),
        ("-p", "thread_pool_min=600".to_owned()),
        ("-p", "thread_pool_timeout=600".to_owned()),
        ("-p", "timeout_idle=300".to_owned()),
        // A client that asks again within a second finds its thread waiting; the default hands the connection to another
        // thread after 50 ms, which costs a crowd two changes of threads for each request.
        ("-p", "timeout_linger=1".to_owned()),
        // Its log in memory is off for what a request writes, as the others' logs are.
        ("-p", format!("vsl_mask={UNLOGGED}")),
    ] {
        arguments.extend([flag.to_owned(), value]);
    }
    // In the foreground: the benchmark holds it.
    arguments.push("-F".to_owned());
    arguments
}

const UNLOGGED: &str = "-Begin,-End,-Link,-SessOpen,-SessClose,-ReqStart,-ReqMethod,-ReqURL,-ReqProtocol,-ReqHeader,\
                        -ReqUnset,-ReqAcct,-VCL_call,-VCL_return,-VCL_use,-Hit,-HitMiss,-HitPass,-RespProtocol,\
                        -RespStatus,-RespReason,-RespHeader,-RespUnset,-Timestamp,-Length,-Filters";

/// What takes back everything that the origin tagged, on edge-node's admin port.
pub fn purge_request(admin: SocketAddr) -> Vec<u8> {
    let body = format!("{{\"tags\":[\"{TAG}\"]}}");
    let length = body.len();
    format!("POST /purge HTTP/1.1\r\nhost: {admin}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into()
}
