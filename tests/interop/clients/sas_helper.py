"""The `generate_sas_token` that Microsoft's page "Control access to IoT Hub" describes, written from its description."""
import base64
import hashlib
import hmac
import time
import urllib.parse


def generate_sas_token(uri, key, policy_name, expiry=3600):
    expires = str(int(time.time()) + expiry)
    resource = urllib.parse.quote(uri, safe='')
    digest = hmac.new(base64.b64decode(key), (resource + '\n' + expires).encode(), hashlib.sha256).digest()
    signature = urllib.parse.quote(base64.b64encode(digest), safe='')
    token = 'SharedAccessSignature sr=%s&sig=%s&se=%s' % (resource, signature, expires)
    return token + ('&skn=' + policy_name if policy_name else '')
