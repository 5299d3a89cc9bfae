#!/bin/sh
# Makes the PFX files of testdata/pfx/made with the programs whose files operators bring: OpenSSL, Java's keytool, NSS'
# pk12util and GnuTLS' certtool. Each run makes new keys, so bytes differ and facts do not: a test runs this script and
# holds what it makes to the facts beside the committed files.
#
#   scripts/pfx-fixtures.sh FOLDER
set -eu
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
P=Correct1Horse

quiet() { "$@" >log 2>&1 || { echo "$0: $*" >&2; cat log >&2; exit 1; }; }

# --- a chain of four, and whatever may lie beside it -----------------------------------------------------------------

cat >ext.cnf <<'END'
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
subjectAltName = DNS:portal.east.contoso.com
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth, clientAuth
END

rsa() { quiet openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:$2" -out "$1.key"; }
ec() { quiet openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
# issue NAME SUBJECT ISSUER PROFILE [further arguments]; the key is NAME.key, ISSUER may be NAME
issue() {
	name=$1 subject=$2 issuer=$3 profile=$4
	shift 4
	quiet openssl req -new -key "$name.key" -subj "/CN=$subject" -out "$name.req"
	if [ "$issuer" = "$name" ]; then
		quiet openssl x509 -req -in "$name.req" -signkey "$name.key" -days 3650 -extfile ext.cnf -extensions "$profile" -out "$name.pem" "$@"
	else
		quiet openssl x509 -req -in "$name.req" -CA "$issuer.pem" -CAkey "$issuer.key" -CAcreateserial -days 3650 \
			-extfile ext.cnf -extensions "$profile" -out "$name.pem" "$@"
	fi
}
twin() { # NEW OLD: another certificate for the same key
	cp "$2.key" "$1.key"
}

for ca in root inter issuing stranger; do ec $ca; done
issue root "Made Root" root ca
issue inter "Made Intermediate" root ca
issue issuing "Made Issuing" inter ca
issue stranger "Made Stranger" stranger ca
rsa leaf 2048
leaf=portal.east.contoso.com
issue leaf $leaf issuing server
twin renewed leaf && issue renewed $leaf issuing server
twin cross root && issue cross "Made Root" stranger ca
twin self leaf && issue self $leaf self server
twin sha1 leaf && issue sha1 $leaf issuing server -sha1
twin negative leaf && issue negative $leaf issuing server -set_serial -5
rsa rsa1024 1024 && issue rsa1024 $leaf issuing server
rsa rsa4096 4096 && issue rsa4096 $leaf issuing server
ec ec && issue ec $leaf issuing server
quiet openssl genpkey -algorithm ED25519 -out ed25519.key && issue ed25519 $leaf issuing server
quiet openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out pss.key && issue pss $leaf issuing server
cat issuing.pem inter.pem root.pem >chain.pem

# --- OpenSSL ---------------------------------------------------------------------------------------------------------

openssl_raw() { # NAME [arguments]
	name=$1
	shift
	quiet openssl pkcs12 -export -out "$out/openssl-$name.pfx" "$@"
}
# openssl_pfx NAME [arguments]: leaf and chain
openssl_pfx() {
	name=$1
	shift
	openssl_raw "$name" -inkey leaf.key -in leaf.pem -certfile chain.pem -passout "pass:$P" "$@"
}
# openssl_beside NAME CERTIFICATE…: the leaf and these
openssl_beside() {
	name=$1
	shift
	cat "$@" >beside.pem
	openssl_raw "$name" -inkey leaf.key -in leaf.pem -certfile beside.pem -passout "pass:$P"
}
# openssl_leaf NAME STEM: another leaf and its key
openssl_leaf() { openssl_raw "$1" -inkey "$2.key" -in "$2.pem" -certfile chain.pem -passout "pass:$P"; }

D=PBE-SHA1-3DES
openssl_pfx default
openssl_pfx legacy -legacy
openssl_pfx 3des -certpbe $D -keypbe $D -macalg sha1 -iter 2000
openssl_pfx 3des-local-machine -certpbe $D -keypbe $D -macalg sha1 -iter 2000 -LMK -name pörtal \
	-CSP "Microsoft Enhanced RSA and AES Cryptographic Provider"
openssl_pfx 3des-mac-sha256 -certpbe $D -keypbe $D
openssl_pfx 3des-certificates-only -certpbe $D -macalg sha1
openssl_pfx 3des-key-only -keypbe $D -macalg sha1
openssl_pfx aes128 -certpbe AES-128-CBC -keypbe AES-128-CBC
openssl_pfx aes192 -certpbe AES-192-CBC -keypbe AES-192-CBC
openssl_pfx rc2-40 -legacy -certpbe PBE-SHA1-RC2-40 -keypbe PBE-SHA1-RC2-40 -macalg sha1
openssl_pfx rc2-128 -legacy -certpbe PBE-SHA1-RC2-128 -keypbe PBE-SHA1-RC2-128 -macalg sha1
openssl_pfx 2-key-3des -certpbe PBE-SHA1-2DES -keypbe PBE-SHA1-2DES -macalg sha1
openssl_pfx pbes2-3des -certpbe DES-EDE3-CBC -keypbe DES-EDE3-CBC
openssl_pfx rc4 -legacy -certpbe PBE-SHA1-RC4-128 -keypbe PBE-SHA1-RC4-128 -macalg sha1
openssl_pfx md5-des -legacy -certpbe PBE-MD5-DES -keypbe PBE-MD5-DES -macalg sha1
openssl_pfx camellia -certpbe CAMELLIA-256-CBC -keypbe CAMELLIA-256-CBC
for digest in sha1 sha224 sha384 sha512; do openssl_pfx mac-$digest -macalg $digest; done
openssl_pfx mac-md5 -macalg md5
openssl_pfx 1-iteration -noiter -nomaciter
openssl_pfx 100000-iterations -iter 100000
openssl_pfx clear-certificates -certpbe NONE
openssl_pfx clear-key -keypbe NONE
openssl_pfx clear -certpbe NONE -keypbe NONE
openssl_pfx no-mac -nomac -certpbe AES-256-CBC
openssl_pfx no-mac-rc2 -legacy -nomac -certpbe PBE-SHA1-RC2-40
openssl_pfx no-mac-clear -nomac -certpbe NONE -keypbe NONE
openssl_raw key-only -nocerts -inkey leaf.key -passout "pass:$P"
openssl_pfx leaf-missing -nocerts
openssl_raw certificates-only -nokeys -in chain.pem -passout "pass:$P"
openssl_raw password-empty -inkey leaf.key -in leaf.pem -certfile chain.pem -passout pass: -certpbe $D -keypbe $D -macalg sha1
openssl_raw password-unicode -inkey leaf.key -in leaf.pem -certfile chain.pem -passout "pass:pässwörd€" -certpbe $D -keypbe $D -macalg sha1
openssl_beside order-root-first root.pem inter.pem issuing.pem
openssl_beside order-mixed inter.pem root.pem issuing.pem
openssl_beside duplicate issuing.pem issuing.pem inter.pem root.pem
openssl_beside stranger issuing.pem stranger.pem inter.pem root.pem
openssl_beside renewed renewed.pem issuing.pem inter.pem root.pem
openssl_beside no-root issuing.pem inter.pem
openssl_beside no-intermediate issuing.pem root.pem
openssl_beside cross-signed issuing.pem inter.pem cross.pem root.pem
openssl_raw leaf-alone -inkey leaf.key -in leaf.pem -passout "pass:$P"
openssl_raw self-signed -inkey self.key -in self.pem -passout "pass:$P"
openssl_leaf sha1-signed sha1
openssl_leaf negative-serial negative
openssl_leaf rsa-1024 rsa1024
openssl_leaf rsa-4096 rsa4096
openssl_leaf p-256 ec
openssl_leaf ed25519 ed25519
openssl_leaf rsa-pss pss
openssl_pfx trailing-zeros -certpbe $D -keypbe $D -macalg sha1
printf '\0\0\0\0\0\0\0\0' >>"$out/openssl-trailing-zeros.pfx"
openssl_pfx trailing-bytes -certpbe $D -keypbe $D -macalg sha1
printf 'more' >>"$out/openssl-trailing-bytes.pfx"

# --- Java ------------------------------------------------------------------------------------------------------------

java_store() { # NAME SOURCE [arguments]
	name=$1 source=$2
	shift 2
	quiet keytool -importkeystore -noprompt -srckeystore "$source" -srcstoretype PKCS12 -srcstorepass $P \
		-destkeystore "$out/java-$name.pfx" -deststoretype PKCS12 -deststorepass $P "$@"
}
openssl pkcs12 -export -inkey leaf.key -in leaf.pem -certfile chain.pem -name portal -passout pass:$P -out portal.pfx
openssl pkcs12 -export -inkey ec.key -in ec.pem -certfile chain.pem -name other -passout pass:$P -out other.pfx
java_store default portal.pfx
java_store legacy portal.pfx -J-Dkeystore.pkcs12.legacy
cp "$out/java-default.pfx" "$out/java-2-keys.pfx"
java_store 2-keys other.pfx
cp "$out/java-default.pfx" "$out/java-trusted-certificate.pfx"
quiet keytool -importcert -noprompt -alias stranger -file stranger.pem -keystore "$out/java-trusted-certificate.pfx" -storetype PKCS12 -storepass $P

# --- NSS -------------------------------------------------------------------------------------------------------------

quiet certutil -N -d sql:. --empty-password
quiet pk12util -i portal.pfx -W $P -d sql:.
nss() { # NAME [arguments]
	name=$1
	shift
	quiet pk12util -o "$out/nss-$name.pfx" -n portal -W $P -d sql:. "$@"
}
nss default
nss 3des -c "PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC" -C "PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC" -M SHA-1

# --- GnuTLS ----------------------------------------------------------------------------------------------------------

cat leaf.pem chain.pem >all.pem
gnutls() { # NAME [arguments]
	name=$1
	shift
	quiet certtool --to-p12 --load-privkey leaf.key --load-certificate all.pem --p12-name portal --password $P \
		--outder --outfile "$out/gnutls-$name.pfx" "$@"
}
gnutls default
gnutls 3des --pkcs-cipher 3des-pkcs12 --hash sha1
gnutls rc4 --pkcs-cipher arcfour
