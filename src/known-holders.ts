// The programs known to hold keys: who is protected when `protect` names nobody. A holder is told by the file it runs
// from; only where that could not be read, by its comm, which a process chooses for itself.

import type { Process } from "./observation.ts";
import { sameComm } from "./protection.ts";

export interface Holder {
  readonly name: string;
  /** Base names of the executable. */
  readonly exe: readonly string[];
  /** What the executable's path must contain as well, for a base name that others use too; never told by comm then. */
  readonly within?: string;
  /** What has to be seen besides: it speaks TLS (its command line says so or it holds a key file), or holds a key file. */
  readonly needs?: "tls" | "key-file";
  /** The keys it holds. */
  readonly why: string;
}

export interface HolderFacts {
  readonly holdsKeyFile: boolean;
}

export const KNOWN_HOLDERS: readonly Holder[] = [
  { name: "sshd", exe: ["sshd", "sshd-session", "sshd-auth"], why: "SSH host keys and session keys" },
  { name: "ssh-agent", exe: ["ssh-agent"], why: "SSH user keys, decrypted" },
  { name: "gpg-agent", exe: ["gpg-agent", "keyboxd", "scdaemon"], why: "OpenPGP secret keys and passphrases" },
  { name: "vault", exe: ["vault"], why: "the unsealed root key and every secret below it" },
  { name: "openbao", exe: ["bao", "openbao"], why: "the unsealed root key and every secret below it" },
  { name: "step-ca", exe: ["step-ca"], why: "the signing key of a certificate authority" },
  { name: "cfssl", exe: ["cfssl", "multirootca"], why: "the signing key of a certificate authority" },
  { name: "krb5kdc", exe: ["krb5kdc"], why: "the Kerberos master key and every principal's key" },
  { name: "kadmind", exe: ["kadmind"], why: "the Kerberos master key and every principal's key" },
  {
    name: "sssd",
    exe: ["sssd", "sssd_be", "sssd_kcm", "sssd_secrets", "krb5_child"],
    why: "the host's keytab and cached credentials",
  },
  { name: "etcd", exe: ["etcd"], why: "its TLS and peer keys, and the cluster's secrets" },
  { name: "kube-apiserver", exe: ["kube-apiserver"], why: "the key that encrypts secrets, and its TLS keys" },
  {
    name: "kube-controller-manager",
    exe: ["kube-controller-manager"],
    why: "the cluster CA key and the key that signs service accounts",
  },
  { name: "kubelet", exe: ["kubelet"], why: "the node's client key and its pods' mounted secrets" },
  {
    name: "k3s",
    exe: ["k3s", "k3s-server", "rke2", "kubelite"],
    why: "the control plane's CA, encryption and TLS keys",
  },
  { name: "consul", exe: ["consul"], why: "the Connect CA key, gossip and TLS keys" },
  { name: "nomad", exe: ["nomad"], why: "the keyring that encrypts variables, and TLS keys" },
  {
    name: "cryptsetup",
    exe: ["cryptsetup", "systemd-cryptsetup", "integritysetup", "veritysetup"],
    why: "disk encryption passphrases and volume keys",
  },
  { name: "nginx", exe: ["nginx", "openresty", "angie"], why: "TLS private keys and session ticket keys" },
  { name: "haproxy", exe: ["haproxy"], why: "TLS private keys and session ticket keys" },
  { name: "envoy", exe: ["envoy"], why: "TLS private keys" },
  { name: "apache", exe: ["apache2", "httpd"], why: "TLS private keys and session ticket keys" },
  { name: "caddy", exe: ["caddy"], why: "TLS private keys and the ACME account key" },
  { name: "traefik", exe: ["traefik"], why: "TLS private keys and the ACME account key" },
  { name: "stunnel", exe: ["stunnel", "stunnel4", "stunnel5"], why: "TLS private keys" },
  { name: "cloudflared", exe: ["cloudflared"], why: "tunnel credentials" },
  {
    name: "dovecot",
    exe: ["dovecot", "imap-login", "pop3-login", "submission-login", "managesieve-login"],
    why: "TLS private keys",
  },
  { name: "dovecot", exe: ["auth", "config"], within: "/dovecot/", why: "TLS private keys and mail users' passwords" },
  {
    name: "postfix",
    exe: ["master", "smtpd", "smtp", "tlsmgr", "tlsproxy"],
    within: "/postfix/",
    why: "TLS private keys",
  },
  {
    name: "strongswan",
    exe: ["charon", "charon-systemd", "charon-nm", "starter"],
    why: "IKE private keys and IPsec keys",
  },
  { name: "openvpn", exe: ["openvpn"], why: "its private key and session keys" },
  { name: "wireguard-go", exe: ["wireguard-go", "boringtun", "boringtun-cli"], why: "WireGuard private keys" },
  { name: "tailscaled", exe: ["tailscaled"], why: "the node key and WireGuard private keys" },
  { name: "pcscd", exe: ["pcscd"], why: "smart card PINs and sessions" },
  { name: "tpm2-abrmd", exe: ["tpm2-abrmd"], why: "TPM sessions and authorisations" },
  { name: "swtpm", exe: ["swtpm"], why: "a software TPM's seeds and keys" },
  { name: "postgres", exe: ["postgres", "postmaster"], why: "its TLS key and users' password verifiers" },
  { name: "mysql", exe: ["mysqld", "mariadbd"], why: "its TLS key and tablespace encryption keys" },
  { name: "mongodb", exe: ["mongod", "mongos"], why: "the cluster key file, TLS and storage encryption keys" },
  { name: "minio", exe: ["minio"], why: "root credentials, TLS and object encryption keys" },
  { name: "redis", exe: ["redis-server", "redis-sentinel"], needs: "tls", why: "its TLS private key" },
  { name: "valkey", exe: ["valkey-server", "valkey-sentinel"], needs: "tls", why: "its TLS private key" },
  { name: "node", exe: ["node", "nodejs"], needs: "key-file", why: "the private key in the file it holds open" },
  { name: "java", exe: ["java"], needs: "key-file", why: "the private key in the file it holds open" },
  { name: "python", exe: ["python3"], needs: "key-file", why: "the private key in the file it holds open" },
];

const BY_EXE = new Map<string, Holder[]>();
for (const holder of KNOWN_HOLDERS) {
  for (const exe of holder.exe) BY_EXE.set(exe, [...(BY_EXE.get(exe) ?? []), holder]);
}

/** The known holder of keys this process is, if it is one. */
export function holderOf(process: Process, facts: HolderFacts): Holder | undefined {
  if (process.kernelThread) return undefined;
  return candidatesOf(process).find((holder) => hasWhatItNeeds(holder, process, facts));
}

function candidatesOf(process: Process): readonly Holder[] {
  if (process.exe === undefined) {
    return KNOWN_HOLDERS.filter(
      ({ exe, within }) => within === undefined && exe.some((name) => sameComm(process.comm, name)),
    );
  }
  const path = process.exe.replace(/ \(deleted\)$/, "");
  // python3 is a link to python3.11 and the like.
  const name = path.slice(path.lastIndexOf("/") + 1).replace(/^(python3)\.\d+$/, "$1");
  return (BY_EXE.get(name) ?? []).filter(({ within }) => within === undefined || path.includes(within));
}

function hasWhatItNeeds({ needs }: Holder, process: Process, facts: HolderFacts): boolean {
  if (needs === undefined || facts.holdsKeyFile) return true;
  return needs === "tls" && asksForTls(process.cmdline ?? []);
}

/** "--tls-port 6380" and the like, unless it is switched off: "--tls-port 0", "--tls-cluster no". */
function asksForTls(cmdline: readonly string[]): boolean {
  return cmdline.some((argument, index) => {
    const option = /^--?(?:tls|ssl)[a-z-]*(?:=(.*))?$/i.exec(argument);
    if (option === null) return false;
    const value = option[1] ?? cmdline[index + 1] ?? "";
    return !/^(?:0|no|off|false|disabled)$/i.test(value);
  });
}
