"""Validates the Kubernetes objects on standard input against the schemas of Kubernetes itself, and of
the custom resource definitions in the files and folders given. Whatever no schema knows is an error: a
misspelled field would be dropped in silence.

    kustomize build FOLDER | manifests.py KUBERNETES_VERSION CRDS...
"""

import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml


def closed(schema):
    """The schema with no field allowed that it does not name, as Kubernetes prunes what it does not know."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    new = {key: closed(value) for key, value in schema.items()}
    if "properties" in new and not schema.get("x-kubernetes-preserve-unknown-fields"):
        new.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        new["type"] = ["integer", "string"]
    return new


def custom(paths):
    """Schemas by API version and kind."""
    schemas = {}
    for path in map(pathlib.Path, paths):
        for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
            for crd in yaml.safe_load_all(file.read_text()):
                if not crd or crd["kind"] != "CustomResourceDefinition":
                    continue
                spec = crd["spec"]
                for version in spec["versions"]:
                    schema = closed(version["schema"]["openAPIV3Schema"])
                    # Its fields are those of every object; Kubernetes adds them itself.
                    schema["properties"]["metadata"] = {"type": "object"}
                    name = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
                    schemas[name] = schema
    return schemas


def main():
    version, *paths = sys.argv[1:]
    schemas = custom(paths)
    faults = count = 0
    for document in yaml.safe_load_all(sys.stdin):
        count += 1
        kind, api_version = document["kind"], document["apiVersion"]
        try:
            if (api_version, kind) in schemas:
                jsonschema.validate(document, schemas[api_version, kind])
            else:
                kubernetes_validate.validate(document, version, strict=True)
        except (jsonschema.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            faults += 1
            at = "/".join(map(str, getattr(error, "path", [])))
            print(f"{kind} {document['metadata']['name']}: {at}: {error.message}", file=sys.stderr)
    if not count:
        sys.exit("there are no objects")
    if faults:
        sys.exit(f"{faults} of {count} objects are invalid")
    print(f"{count} objects are valid", file=sys.stderr)


main()
