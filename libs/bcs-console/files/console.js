// The console: pages over the services' own APIs. Text reaches the page as text nodes only; the token is sent in a header
// and kept in the tab.

import { currentLanguage, languages, setLanguage, t } from "./texts.js";
import { readObjects } from "./watch.js";

const STORAGE = "/bcsapi/v4/storage";
const USERS = "/bcsapi/v4/usermanager/v1";
const KINDS = ["Pod", "Deployment", "Service", "ConfigMap", "Secret", "Node", "Namespace", "StatefulSet", "DaemonSet", "Job",
  "ReplicaSet", "Ingress", "Endpoints", "PersistentVolume", "taskgroup", "application", "deployment", "service"];
const MESOS_KINDS = new Set(["taskgroup", "application", "process", "deployment", "service", "configmap", "secret", "endpoint", "exportservice"]);
const RETRY = 2000;
const REFRESH = 5000;
const MOST_ROWS = 2000;

// ---- the page as elements ----

/** An element. Attributes that are functions are listeners; children are elements or text. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

function table(columns, rows, empty = t("Nothing here.")) {
  if (rows.length === 0) return h("div", { class: "panel empty" }, empty);
  return h("div", { class: "panel" }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows)));
}

/** A row that opens an object as JSON. */
function jsonRow(cells, title, object, attributes = {}) {
  const open = () => showJson(title, object);
  const press = (event) => {
    if (event.key !== "Enter" || event.target.tagName !== "TR") return;
    // The same key must not press the button that gets the focus.
    event.preventDefault();
    open();
  };
  return h("tr", { tabindex: "0", click: open, keydown: press, ...attributes },
    cells.map((cell) => (cell instanceof Node && cell.tagName === "TD" ? cell : h("td", {}, cell))));
}

function field(name, label, attributes = {}) {
  return h("label", {}, label, h("input", { name, autocomplete: "off", spellcheck: "false", ...attributes }));
}

function moment(text) {
  const time = new Date(text);
  return text && !Number.isNaN(time.getTime()) ? time.toLocaleString(currentLanguage()) : String(text ?? "");
}

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = count < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(count) / 10));
  return `${(count / 1024 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

// ---- requests ----

const session = {
  get token() { return sessionStorage.getItem("token") ?? ""; },
  set token(value) { if (value) sessionStorage.setItem("token", value); else sessionStorage.removeItem("token"); },
};

class Refused extends Error {}

async function call(path, { method = "GET", body, signal } = {}) {
  const response = await fetch(path, {
    method, signal, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store",
    headers: { Authorization: `Bearer ${session.token}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
  });
  if (response.status === 401) throw new Refused();
  return response;
}

/** The data of an envelope. */
async function data(path, options) {
  const response = await call(path, options);
  const envelope = await response.json();
  if (Number(envelope.code ?? 0) !== 0) throw new Error(envelope.message || `HTTP ${response.status}`);
  return envelope.data;
}

const part = encodeURIComponent;

// ---- frame, navigation ----

const main = h("main", { tabindex: "-1" });
let leave = new AbortController();

const allPages = [
  ["services", "Services", servicesPage],
  ["clusters", "Clusters", clustersPage, "users"],
  ["resources", "Resources", resourcesPage],
  ["events", "Events", eventsPage],
  ["users", "Users", usersPage, "users"],
  ["health", "Health checks", healthPage],
  ["api", "API", apiPage],
];
/** Those that the server behind this page has something for; unknown before it was asked. */
let pages = null;

/** Asks which pages there are; refused: who asks is no admin. */
async function learnPages(signal) {
  const response = await call("/console/overview", { signal });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const overview = await response.json();
  pages = allPages.filter(([, , , needed]) => !needed || overview[needed]);
}

/** Page and parameters behind the #: names and filters, never a token. */
function place() {
  const [name, query] = location.hash.slice(1).split("?");
  return { name: name || "services", parameters: new URLSearchParams(query ?? "") };
}

function go(name, parameters) {
  const query = new URLSearchParams(parameters).toString();
  location.hash = query ? `${name}?${query}` : name;
}

function languageChoice() {
  return h("select", { "aria-label": t("Language"), change: (event) => {
    localStorage.setItem("language", event.target.value);
    setLanguage(event.target.value);
    render();
  } }, Object.entries(languages).map(([name, label]) => h("option", { value: name, selected: name === currentLanguage() }, label)));
}

function render() {
  leave.abort();
  leave = new AbortController();
  if (!session.token) return signInPage("");
  const { signal } = leave;
  if (!pages) {
    main.replaceChildren();
    document.body.replaceChildren(main);
    learnPages(signal).then(render).catch((error) => failed(error, signal));
    return;
  }
  const { name, parameters } = place();
  const page = pages.find(([id]) => id === name) ?? pages[0];
  const link = ([id, label], index) => h("a", { href: `#${id}`, title: String(index + 1), "aria-current": id === page[0] ? "page" : null }, t(label));
  document.body.replaceChildren(
    h("header", {},
      h("h1", {}, h("img", { src: "/console/icon.svg", alt: "" }), "BCS"),
      h("nav", { "aria-label": "BCS" }, pages.map(link)),
      languageChoice(),
      h("button", { type: "button", title: "?", click: showKeys }, "?"),
      h("button", { type: "button", click: signOut }, t("Sign out"))),
    main);
  main.replaceChildren();
  document.title = `BCS · ${t(page[1])}`;
  page[2](parameters, signal).catch((error) => failed(error, signal));
}

/** What a page shows when it cannot go on. */
function failed(error, signal) {
  if (signal.aborted) return;
  if (error instanceof Refused) {
    session.token = "";
    return signInPage(t("You were signed out: the token is not valid any more."));
  }
  main.append(h("p", { class: "bad", role: "alert" }, t("No answer: %s", error.message)));
}

function head(title, about) {
  return [h("h2", {}, t(title)), h("p", { class: "dim" }, t(about))];
}

// ---- signing in ----

function signInPage(message) {
  const note = h("p", { class: "bad", role: "alert" }, message);
  const submit = async (event) => {
    event.preventDefault();
    session.token = event.target.elements.token.value.trim();
    try {
      await learnPages();
      render();
    } catch (error) {
      session.token = "";
      note.textContent = error instanceof Refused ? t("The token is not one of an admin.") : t("No answer: %s", error.message);
    }
  };
  document.title = "BCS";
  document.body.replaceChildren(h("div", { class: "panel sign-in" },
    h("h2", {}, "BCS"),
    h("p", { class: "dim" }, t("The token of an admin. bcs server keeps the first one in the file admin-token of its data directory.")),
    h("form", { submit },
      field("token", t("Token"), { type: "password", required: true }),
      note,
      h("button", { class: "main" }, t("Sign in")),
      languageChoice())));
  document.querySelector("input").focus();
}

function signOut() {
  session.token = "";
  render();
}

// ---- pages ----

async function servicesPage(_, signal) {
  const place = h("div", {});
  main.append(...head("Services", "What runs here, and how it is. Looked at again every five seconds."), place);
  const state = (service) => {
    if (!service.readiness) return h("span", { class: "bad" }, t("does not answer"));
    if (service.readiness.ready) return h("span", { class: "good" }, t("ready"));
    const wrong = Object.entries(service.readiness.parts).filter(([, text]) => text !== "ok");
    return h("span", { class: "warn" }, t("not ready"), wrong.map(([name, text]) => ` · ${name}: ${text}`));
  };
  for (;;) {
    const overview = await (await call("/console/overview", { signal })).json();
    const rows = overview.services.map((service) => jsonRow([
      service.name,
      h("td", { class: "mono" }, service.address ? `${service.scheme}://${service.address}` : "–"),
      h("td", { class: "mono" }, service.metrics ?? "–"),
      state(service),
      service.certificate ? moment(service.certificate.not_after) : h("span", { class: "dim" }, t("no TLS")),
    ], service.name, service));
    if (signal.aborted) return;
    const focused = [...place.querySelectorAll("tr[tabindex]")].indexOf(document.activeElement);
    place.replaceChildren(table([t("Service"), t("Address"), t("Metrics"), t("State"), t("Certificate until")], rows),
      h("p", { class: "dim" }, `${t("Version")} ${overview.version}`));
    if (focused >= 0) place.querySelectorAll("tr[tabindex]")[focused]?.focus();
    await pause(REFRESH, signal);
  }
}

async function clustersPage(_, signal) {
  const body = h("div", {});
  main.append(...head("Clusters", "The clusters that are registered, and how they are reached."), body);
  const resources = (id) => h("td", {}, h("a", { href: `#resources?${new URLSearchParams({ cluster: id, kind: "Pod" })}`, click: (event) => event.stopPropagation() }, id));
  for (;;) {
    const response = await call("/console/clusters", { signal });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.message || `HTTP ${response.status}`);
    const credentials = (await data(`${USERS}/clusters/credentials`, { signal })) ?? {};
    const connected = new Set(answer.tunnels.map(({ key }) => key));
    const clusters = answer.clusters.map((cluster) => jsonRow([resources(cluster.clusterID), cluster.clusterName, cluster.engineType,
      cluster.provider, cluster.region, cluster.environment,
      connected.has(cluster.clusterID) ? h("span", { class: "good" }, t("connected")) : h("span", { class: "dim" }, "–")], cluster.clusterID, cluster));
    const tunnels = answer.tunnels.map((tunnel) => jsonRow([resources(tunnel.key), tunnel.service, moment(tunnel.since * 1000),
      tunnel.round_trip_ms === null ? "–" : `${tunnel.round_trip_ms.toFixed(1)} ms`, tunnel.connections,
      bytes(tunnel.transmitted_bytes), bytes(tunnel.received_bytes)], tunnel.key, tunnel));
    const known = Object.entries(credentials).map(([id, credential]) => {
      // The credential itself is nobody's business here.
      const { user_token: _token, ...shown } = credential;
      return jsonRow([resources(id), shown.cluster_domain, h("td", { class: "mono break" }, shown.server_addresses)], id, shown);
    });
    if (signal.aborted) return;
    const focused = [...body.querySelectorAll("tr[tabindex]")].indexOf(document.activeElement);
    body.replaceChildren(
      table([t("Cluster"), t("Name"), t("Engine"), t("Provider"), t("Region"), t("Environment"), t("Tunnel")], clusters),
      h("h3", {}, t("Tunnels")),
      table([t("Cluster"), t("Service"), t("Connected since"), t("Round trip"), t("Connections"), t("Sent"), t("Received")], tunnels,
        t("No agent is connected.")),
      h("h3", {}, t("Credentials")),
      table([t("Cluster"), t("Domain"), t("Addresses")], known));
    if (focused >= 0) body.querySelectorAll("tr[tabindex]")[focused]?.focus();
    await pause(REFRESH, signal);
  }
}

/** The objects of a cluster and kind by their names, followed for as long as the page is shown. */
async function resourcesPage(parameters, signal) {
  const cluster = parameters.get("cluster") ?? "";
  const kind = parameters.get("kind") ?? "";
  const submit = (event) => {
    event.preventDefault();
    const { cluster, kind } = event.target.elements;
    const [newCluster, newKind] = [cluster.value.trim(), kind.value.trim()];
    if (newCluster) localStorage.setItem("cluster", newCluster);
    go("resources", { cluster: newCluster, kind: newKind });
  };
  const filter = h("input", { name: "filter", type: "search", autocomplete: "off", "data-key": "/" });
  main.append(...head("Resources", "Every change of the cluster's resources as it happens."),
    h("form", { class: "bar", submit },
      field("cluster", t("Cluster"), { value: cluster || (localStorage.getItem("cluster") ?? ""), placeholder: "BCS-K8S-00000" }),
      field("kind", t("Kind"), { value: kind || "Pod", list: "kinds" }),
      h("datalist", { id: "kinds" }, KINDS.map((name) => h("option", { value: name }))),
      h("button", { class: "main" }, t("Show")),
      h("label", {}, t("Filter"), filter)));
  if (!cluster || !kind) return void main.append(h("div", { class: "panel empty" }, t("Choose a cluster and a kind.")));
  const count = h("span", { class: "dim" });
  const state = h("span", { role: "status" });
  const body = h("div", {});
  main.append(h("div", { class: "status" }, state, count), body);
  const live = liveTable(body, count, filter);
  for (;;) {
    try {
      state.className = "dim";
      state.textContent = t("connecting");
      await follow(cluster, kind, signal, live, () => {
        state.className = "good";
        state.textContent = `● ${t("live")}`;
      });
    } catch (error) {
      if (signal.aborted || error instanceof Refused) throw error;
    }
    state.className = "warn";
    state.textContent = t("disconnected, trying again");
    await pause(RETRY, signal);
  }
}

/** First the watch, then the list: what changes in between is in both, and nothing is missed. */
async function follow(cluster, kind, signal, live, connected) {
  const watch = await call(`${STORAGE}/dynamic/watch/${part(cluster)}/${part(kind)}`, { method: "POST", body: {}, signal });
  if (!watch.ok) throw new Error(`HTTP ${watch.status}`);
  let early = [];
  const take = ({ type, value }) => {
    if (!value) return;
    if (early) early.push([type, value]);
    else live.change(type, value);
  };
  const ended = readObjects(watch, take);
  // Its failure is seen below; without this it would count as nobody's.
  ended.catch(() => {});
  const layer = MESOS_KINDS.has(kind) ? "mesos" : "k8s";
  live.reset(await data(`${STORAGE}/${layer}/dynamic/all_resources/clusters/${part(cluster)}/${part(kind)}`, { signal }));
  for (const [type, value] of early) live.change(type, value);
  early = null;
  connected();
  await ended;
}

function liveTable(body, count, filter) {
  const objects = new Map();
  const rows = new Map();
  const key = (object) => `${object.namespace ?? ""}\n${object.resourceName ?? ""}`;
  const tbody = h("tbody", {});
  const columns = [t("Namespace"), t("Name"), t("Status"), t("Updated")];
  const shown = h("div", { class: "panel" }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))), tbody));
  const empty = h("div", { class: "panel empty" }, t("Nothing here."));
  const status = ({ data }) => {
    const value = data?.status?.phase ?? data?.status;
    return typeof value === "string" ? value : "";
  };
  const row = (object, changed) => jsonRow(
    [object.namespace ?? "", object.resourceName ?? "", status(object), moment(object.updateTime)],
    `${object.resourceType ?? ""} ${object.namespace ?? ""}/${object.resourceName ?? ""}`, object, changed ? { class: "changed" } : {});
  const wanted = (object) => {
    const text = filter.value.trim().toLowerCase();
    return !text || `${object.namespace}/${object.resourceName} ${status(object)}`.toLowerCase().includes(text);
  };
  const finish = () => {
    count.textContent = `${tbody.childElementCount} / ${objects.size} ${t("rows")}`;
    const view = objects.size ? shown : empty;
    if (body.firstChild !== view) body.replaceChildren(view);
  };
  const draw = () => {
    rows.clear();
    const names = [...objects.keys()].filter((name) => wanted(objects.get(name))).sort().slice(0, MOST_ROWS);
    tbody.replaceChildren(...names.map((name) => {
      const element = row(objects.get(name), false);
      rows.set(name, element);
      return element;
    }));
    finish();
  };
  const place = (name, element) => {
    const next = [...rows.keys()].filter((other) => other > name).sort()[0];
    tbody.insertBefore(element, next === undefined ? null : rows.get(next));
  };
  filter.addEventListener("input", draw);
  return {
    reset(list) {
      objects.clear();
      for (const object of list ?? []) objects.set(key(object), object);
      draw();
    },
    /** 1 and 3: the object is like this now; 2: it is gone. */
    change(type, object) {
      const name = key(object);
      const old = rows.get(name);
      const focused = old === document.activeElement;
      if (type === 2) {
        objects.delete(name);
        rows.delete(name);
        old?.remove();
      } else {
        objects.set(name, object);
        if (wanted(object) && (old || rows.size < MOST_ROWS)) {
          const element = row(object, true);
          if (old) old.replaceWith(element);
          rows.set(name, element);
          if (!old) place(name, element);
          if (focused) element.focus();
        } else if (old) {
          rows.delete(name);
          old.remove();
        }
      }
      finish();
    },
  };
}

async function eventsPage(parameters, signal) {
  const cluster = parameters.get("cluster") ?? "";
  const submit = (event) => {
    event.preventDefault();
    go("events", { cluster: event.target.elements.cluster.value.trim() });
  };
  const body = h("div", {});
  main.append(...head("Events", "The latest events that clusters reported."),
    h("form", { class: "bar", submit },
      field("cluster", t("Cluster"), { value: cluster, placeholder: t("All clusters"), "data-key": "/" }),
      h("button", { class: "main" }, t("Show"))), body);
  const query = new URLSearchParams({ limit: "200", ...(cluster ? { clusterId: cluster } : {}) });
  for (;;) {
    const events = (await data(`${STORAGE}/events?${query}`, { signal })) ?? [];
    if (signal.aborted) return;
    const focused = [...body.querySelectorAll("tr[tabindex]")].indexOf(document.activeElement);
    body.replaceChildren(table([t("Time"), t("Cluster"), t("Level"), t("Component"), t("Type"), t("Kind"), t("Description")],
      events.map((event) => jsonRow([
        moment(event.eventTime), event.clusterId, h("span", { class: event.level === "Normal" ? "" : "warn" }, event.level),
        event.component, event.type, event.kind, h("td", { class: "break" }, event.describe),
      ], event.type, event))));
    if (focused >= 0) body.querySelectorAll("tr[tabindex]")[focused]?.focus();
    await pause(REFRESH, signal);
  }
}

async function usersPage(parameters, signal) {
  const type = parameters.get("type") ?? "admin";
  const name = parameters.get("name") ?? "";
  const result = h("div", {});
  const note = h("p", { class: "bad", role: "alert" });
  const option = (value) => h("option", { value, selected: value === type }, value);
  const user = (form) => ({ type: form.elements.type.value, name: form.elements.name.value.trim() });
  const form = h("form", { class: "bar", submit: (event) => { event.preventDefault(); go("users", user(event.target)); } },
    field("name", t("User"), { value: name, required: true, "data-key": "/" }),
    h("label", {}, t("User type"), h("select", { name: "type" }, ["admin", "saas", "plain"].map(option))),
    h("button", { class: "main" }, t("Look up")),
    h("button", { type: "button", click: () => attempt(async () => {
      const made = user(form);
      await data(`${USERS}/users/${made.type}/${part(made.name)}`, { method: "POST", signal });
      go("users", made);
      if (made.type === type && made.name === name) render();
    }) }, t("Create")));
  const attempt = async (action) => {
    note.textContent = "";
    try { await action(); } catch (error) {
      if (error instanceof Refused) failed(error, signal);
      else note.textContent = error.message;
    }
  };
  main.append(...head("Users", "Users, their tokens and what they may do."), form, note, result);
  if (!name) return;
  await attempt(async () => {
    const found = await data(`${USERS}/users/${type}/${part(name)}`, { signal });
    const { user_token: token, ...shown } = found;
    const refresh = { saas: "/refresh", plain: "/refresh" }[type];
    const tokenCell = h("td", { class: "mono break" }, h("button", { type: "button", click: () => tokenCell.replaceChildren(token) }, t("Show the token")));
    const again = refresh && h("button", { type: "button", click: () => attempt(async () => {
      await data(`${USERS}/users/${type}/${part(name)}${refresh}`, { method: "PUT", signal });
      render();
    }) }, t("New token"));
    result.append(table([t("User"), t("User type"), t("Created"), t("Expires"), t("Token"), ""],
      [h("tr", {}, h("td", {}, shown.name), h("td", {}, type), h("td", {}, moment(shown.created_at)), h("td", {}, moment(shown.expires_at)), tokenCell, h("td", {}, again ?? ""))]));
    await permissions(result, name, attempt, signal);
  });
}

/** What a user may do. The service tells it for one resource type at a time. */
async function permissions(result, name, attempt, signal) {
  const types = ["cluster", "storage", "clustermanager", "mesosdriver", "usermanager"];
  const place = h("div", {});
  const send = (method, permission) => attempt(async () => {
    await data(`${USERS}/permissions`, { method, signal, body: { apiVersion: "v1", kind: "permission", metadata: { name: "console" }, spec: { permissions: [{ user_name: name, ...permission }] } } });
    await draw();
  });
  const draw = async () => {
    const asked = types.map((type) => data(`/console/permissions?${new URLSearchParams({ user_name: name, resource_type: type })}`, { signal }));
    const granted = (await Promise.all(asked)).flat().filter(Boolean);
    place.replaceChildren(table([t("Resource type"), t("Resource"), t("Role"), ""], granted.map((permission) => h("tr", {},
      h("td", {}, permission.resource_type), h("td", { class: "break" }, permission.resource), h("td", {}, permission.role),
      h("td", {}, h("button", { type: "button", click: () => send("DELETE", permission) }, t("Revoke")))))));
  };
  const submit = (event) => {
    event.preventDefault();
    const { resource_type, resource, role } = event.target.elements;
    send("POST", { resource_type: resource_type.value, resource: resource.value.trim(), role: role.value });
  };
  result.append(h("h3", {}, t("Permissions")), place, h("form", { class: "bar", submit },
    h("label", {}, t("Resource type"), h("select", { name: "resource_type" }, types.map((value) => h("option", { value }, value)))),
    field("resource", t("Resource"), { placeholder: "BCS-K8S-00000" }),
    h("label", {}, t("Role"), h("select", { name: "role" }, ["viewer", "manager"].map((value) => h("option", { value }, value)))),
    h("button", { class: "main" }, t("Grant"))));
  await draw();
}

async function healthPage(parameters, signal) {
  const cluster = parameters.get("cluster") ?? "";
  const submit = (event) => {
    event.preventDefault();
    go("health", { cluster: event.target.elements.cluster.value.trim() });
  };
  const body = h("div", {});
  main.append(...head("Health checks", "Results of the checks of Mesos tasks, as the cluster's watcher reported them."),
    h("form", { class: "bar", submit },
      field("cluster", t("Cluster"), { value: cluster, placeholder: "BCS-MESOS-10001", "data-key": "/" }),
      h("button", { class: "main" }, t("Show"))), body);
  if (!cluster) return void body.append(h("div", { class: "panel empty" }, t("Choose a cluster.")));
  for (;;) {
    const groups = (await data(`${STORAGE}/mesos/dynamic/all_resources/clusters/${part(cluster)}/taskgroup`, { signal })) ?? [];
    const rows = groups.flatMap((group) => (group.data?.containerStatuses ?? []).flatMap((container) =>
      (container.healthCheckStatus ?? []).map((check) => jsonRow([
        group.namespace, group.resourceName, container.name ?? container.containerName ?? "", check.type,
        h("span", { class: check.result ? "good" : "bad" }, check.result ? t("healthy") : t("unhealthy")),
        h("td", { class: "break" }, check.message ?? ""),
      ], group.resourceName, group))));
    if (signal.aborted) return;
    body.replaceChildren(table([t("Namespace"), t("Task group"), t("Container"), t("Check"), t("State"), t("Description")], rows));
    await pause(REFRESH, signal);
  }
}

async function apiPage(_, signal) {
  main.append(...head("API", "The routes of the services, as their routers list them."));
  const overview = await (await call("/console/overview", { signal })).json();
  const filter = h("input", { type: "search", autocomplete: "off", "data-key": "/" });
  const body = h("div", {});
  main.append(h("form", { class: "bar", submit: (event) => event.preventDefault() }, h("label", {}, t("Filter"), filter)), body);
  const documents = [];
  for (const { name } of overview.services) {
    const response = await call(`/console/openapi/${part(name)}`, { signal });
    if (response.status === 200) documents.push(await response.json());
  }
  const draw = () => {
    const text = filter.value.trim().toLowerCase();
    body.replaceChildren(...documents.flatMap((document) => {
      const routes = Object.entries(document.paths).flatMap(([path, item]) => Object.entries(item)
        .filter(([method]) => method !== "parameters")
        .map(([method, operation]) => ({ path, method: method.toUpperCase(), parameters: item.parameters ?? [], ...operation })));
      const rows = routes.filter(({ path, method }) => `${method} ${path}`.toLowerCase().includes(text))
        .map((route) => jsonRow([h("td", { class: "mono" }, route.method), h("td", { class: "mono break" }, route.path)], `${route.method} ${route.path}`, route));
      return [h("h3", {}, document.info.title, " ", h("span", { class: "dim" }, document.info.version)), table([t("Method"), t("Path")], rows)];
    }));
  };
  filter.addEventListener("input", draw);
  draw();
}

function pause(time, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, time);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("left", "AbortError"));
    }, { once: true });
  });
}

// ---- dialogs ----

function dialog(title, content, ...buttons) {
  const box = h("dialog", { close: () => box.remove() },
    h("div", {}, h("strong", {}, title), buttons, h("button", { type: "button", click: () => box.close() }, t("Close"))), content);
  document.body.append(box);
  box.showModal();
}

/** JSON with colours: keys, texts and the rest, each a text node of its own. */
function showJson(title, object) {
  const text = JSON.stringify(object, null, 2);
  const pre = h("pre", {});
  let last = 0;
  for (const match of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/g)) {
    const kind = match[0][0] !== '"' ? "n" : match[1] ? "k" : "s";
    pre.append(text.slice(last, match.index), h("span", { class: kind }, match[0]));
    last = match.index + match[0].length;
  }
  pre.append(text.slice(last));
  const copy = h("button", { type: "button", click: async () => {
    await navigator.clipboard.writeText(text);
    copy.textContent = t("Copied");
  } }, t("Copy"));
  dialog(title, pre, navigator.clipboard ? copy : null);
}

function showKeys() {
  const keys = [[`1 – ${pages.length}`, "the pages"], ["/", "the filter"], ["j  k", "the next and the previous row"], ["Enter", "the row as JSON"], ["Esc", "close"], ["?", "this list"]];
  dialog(t("Keys"), h("dl", {}, keys.flatMap(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, t(text))])));
}

function onKey(event) {
  const typing = event.target.closest?.("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || !session.token || document.querySelector("dialog[open]")) return;
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const rows = [...main.querySelectorAll("tr[tabindex]")];
  const at = rows.indexOf(document.activeElement);
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (/^[1-9]$/.test(event.key) && pages?.[event.key - 1]) go(pages[event.key - 1][0]);
  else if (event.key === "?" && pages) showKeys();
  else if (event.key === "/") main.querySelector("[data-key='/']")?.focus();
  else if (step && rows.length && (at >= 0 || event.key.length === 1)) rows[Math.max(0, Math.min(rows.length - 1, at + step))].focus();
  else return;
  event.preventDefault();
}

setLanguage(localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en"));
addEventListener("hashchange", render);
addEventListener("keydown", onKey);
render();
