"use strict";
const make = (tag, text = "", ...children) => {
  const node = document.createElement(tag);
  node.textContent = text;
  node.append(...children);
  return node;
};

fetch("openapi.json").then((response) => response.json()).then((api) => {
  const follow = (node) =>
    node && node.$ref ? node.$ref.slice(2).split("/").reduce((place, key) => place[key], api) : node;

  const kind = (schema) => {
    if (schema["x-accepted"]) return schema["x-accepted"];
    schema = follow(schema);
    if (schema.enum) return schema.enum.join(", ");
    if ("const" in schema) return String(schema.const);
    if (schema.oneOf) return schema.oneOf.map(kind).join(" or ");
    if (schema.type === "array") return "list of " + (schema.items ? kind(schema.items) : "anything");
    return [schema.type || "anything"].flat().join(" or ");
  };

  const fields = (schema) => {
    schema = follow(schema);
    const own = Object.entries(schema.properties || {});
    return [...own, ...(schema.allOf || []).flatMap(fields)];
  };

  const table = (head, rows) => {
    const cells = (tag, row) => make("tr", "", ...row.map((cell) => make(tag, cell)));
    return make("table", "", cells("th", head), ...rows.map((row) => cells("td", row)));
  };

  const curl = (method, path, example) => {
    const url = location.origin + path;
    const data = example ? ` \\\n  -H 'content-type: application/json' \\\n  -d '${JSON.stringify(example)}'` : "";
    return `curl ${method === "get" ? "" : "-X " + method.toUpperCase() + " "}${url}${data}`;
  };

  const endpoint = (path, method, operation) => {
    const body = make("div");
    body.className = "body";
    if (operation.description) body.append(make("p", operation.description));
    const content = ((operation.requestBody || {}).content || {})["application/json"];
    body.append(make("pre", curl(method, path, content && content.example)));
    const parameters = (operation.parameters || []).map(follow);
    if (parameters.length) {
      body.append(table(["parameter", "in", "accepted", ""],
        parameters.map((p) => [p.name, p.in, kind(p.schema), p.description || ""])));
    }
    if (content) {
      body.append(table(["field", "accepted", ""],
        fields(content.schema).map(([name, s]) => [name, kind(s), follow(s).description || ""])));
    }
    body.append(table(["status", ""],
      Object.entries(operation.responses).map(([status, r]) => [status, follow(r).description])));
    const line = make("summary", "", make("b", method.toUpperCase()), make("code", path));
    line.append(" " + operation.summary);
    return make("details", "", line, body);
  };

  document.getElementById("about").textContent = api.info.description;
  for (const tag of api.tags) {
    const section = make("section", "", make("h2", tag.name), make("p", tag.description));
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags.includes(tag.name)) section.append(endpoint(path, method, operation));
      }
    }
    document.getElementById("endpoints").append(section);
  }
}).catch((error) => {
  document.getElementById("about").textContent = `openapi.json could not be read: ${error}`;
});
