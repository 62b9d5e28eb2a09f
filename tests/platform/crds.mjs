// Validates custom resources, given as a JSON list on stdin; prints how many, and fails for one that is not valid.
const packages = {
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
  "keda.sh/v1alpha1": "@kubernetes-models/keda/keda.sh/v1alpha1",
  "autoscaling/v2": "kubernetes-models/autoscaling/v2",
};
let text = "";
for await (const chunk of process.stdin) text += chunk;
const documents = JSON.parse(text);
for (const document of documents) {
  const module = await import(packages[document.apiVersion]);
  try {
    new module[document.kind](document).validate();
  } catch (error) {
    console.error(`${document.kind}: ${error.message}`);
    process.exit(1);
  }
}
console.log(documents.length);
