// The validator badge would ask a server elsewhere.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#api", validatorUrl: null, deepLinking: true, tryItOutEnabled: true });
