# SPDX-License-Identifier: MIT
"""
A controller for irctest (https://github.com/progval/irctest), as those in its irctest/controllers: how to run chatd.

With this folder in PYTHONPATH: `pytest --controller chatd`. BUILD_DIR is where chatd and chatctl are; without it they are those
in PATH. tests/system/irctest.py does all of it.
"""

import os
import subprocess
from typing import Dict, Optional, Type

from irctest import patma
from irctest.basecontrollers import BaseServerController, DirectoryBasedController
from irctest.cases import BaseServerTestCase
from irctest.specifications import Capabilities, OptionalBehaviors

# Tests do in a second what people do in an hour, from one address.
TEMPLATE = """
workers = 1;
log_level = "%(level)s";
rooms = ();
server_name = "My.Little.Server";
network = "ChatdTest";
admin = ( "Bob Smith", "email@example.org" );
operators = ( { name = "operuser"; password = "operpassword"; } );
room_defaults: { history = %(history)d; };
limits: {
  max_clients_per_address = 0; max_rooms_per_address = 0; commands_per_second = 0; nick_changes_per_minute = 0;
  joins_per_minute = 0; failed_logins_per_minute = 0;
};
listeners = ( {
  name = "irc"; type = "tcp"; mode = "irc"; listen = "%(hostname)s:%(port)d"; password_file = "%(directory)s/passwords";
  register_accounts = true; register_early = %(early)s; register_email = %(email)s; %(password)s %(tls)s
} %(web)s );
control: { socket = "%(directory)s/control.sock"; };
"""


def program(name: str) -> str:
    build = os.environ.get("BUILD_DIR")
    return os.path.abspath(os.path.join(build, name)) if build else name


class ChatdController(BaseServerController, DirectoryBasedController):
    software_name = "chatd"
    _port_wait_interval = 0.02
    supported_sasl_mechanisms = {"PLAIN", "SCRAM-SHA-256"}
    supports_sts = False
    extban_mute_char = "m"

    capabilities = frozenset(
        (
            Capabilities.ACCOUNT_NOTIFY,
            Capabilities.ACCOUNT_TAG,
            Capabilities.AWAY_NOTIFY,
            Capabilities.BATCH,
            Capabilities.ECHO_MESSAGE,
            Capabilities.EXTENDED_JOIN,
            Capabilities.EXTENDED_MONITOR,
            Capabilities.LABELED_RESPONSE,
            Capabilities.MESSAGE_TAGS,
            Capabilities.MULTI_PREFIX,
            Capabilities.READ_MARKER,
            Capabilities.SERVER_TIME,
            Capabilities.SETNAME,
        )
    )

    # What is named here is no reason to leave a test out.
    optional_behaviors = frozenset(
        set(OptionalBehaviors)
        - {
            OptionalBehaviors.NON_UTF8_MESSAGE,  # UTF8ONLY
        }
    )

    isupport = {
        "BOT": "B",
        "CASEMAPPING": "ascii",
        "ELIST": patma.ANYSTR,
        "INVEX": "I",
        "MONITOR": patma.ANYSTR,
        "PREFIX": "(ov)@+",
        "STATUSMSG": "@+",
        "TARGMAX": patma.ANYSTR,
        "UTF8ONLY": None,
        "WHOX": None,
    }

    def create_config(self) -> None:
        super().create_config()
        with self.open_file("passwords"):
            pass

    def run(
        self,
        hostname: str,
        port: int,
        *,
        password: Optional[str],
        ssl: bool,
        run_services: bool,
        faketime: Optional[str],
        websocket_hostname: Optional[str],
        websocket_port: Optional[int],
    ) -> None:
        assert self.proc is None
        self.hostname, self.port = hostname, port
        self.create_config()
        tls = ""
        if ssl:
            self.gen_ssl()
            tls = 'tls_certificate = "%s"; tls_key = "%s";' % (self.pem_path, self.key_path)
        web = ""
        if websocket_port:
            web = ', { name = "web"; type = "http"; mode = "irc"; listen = "%s:%d"; }' % (websocket_hostname, websocket_port)
        early = self.test_config.account_registration_before_connect
        email = self.test_config.account_registration_requires_email
        with self.open_file("chatd.conf") as fd:
            fd.write(
                TEMPLATE
                % dict(
                    level="debug" if self.debug_mode else "error",
                    history=100 if self.test_config.chathistory else 0,
                    hostname=hostname,
                    port=port,
                    directory=self.directory,
                    early=str(early).lower(),
                    email=str(email).lower(),
                    password='password = "%s";' % password if password else "",
                    tls=tls,
                    web=web,
                )
            )
        assert self.directory
        env = dict(os.environ, STATE_DIRECTORY=str(self.directory))
        if faketime:
            self.faketime_enabled = True
            env.update(self.faketime_environment(faketime))
        self.proc = self.execute([program("chatd"), "-c", self.directory / "chatd.conf"], env=env)

    def faketime_environment(self, faketime: str) -> Dict[str, str]:
        """As faketime has it: "+1y x30" is 30 seconds a second. Where it begins matters to no test."""
        assert self.directory
        source = os.path.join(os.path.dirname(__file__), "faketime.c")
        library = str(self.directory / "faketime.so")
        subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        factor = [word[1:] for word in faketime.split() if word.startswith("x")]
        return {"LD_PRELOAD": library, "FAKETIME_FACTOR": factor[0]}

    def wait_for_services(self) -> None:
        # Accounts are chatd's own.
        pass

    def registerUser(
        self,
        case: BaseServerTestCase,
        username: str,
        password: Optional[str] = None,
    ) -> None:
        assert password and self.directory
        self.wait_for_port()
        self.chatctl("passwd", str(self.directory / "passwords"), username, stdin=password + "\n")
        self.chatctl("reload")

    def chatctl(self, *args: str, stdin: str = "") -> None:
        assert self.directory
        subprocess.run(
            [program("chatctl"), "-s", str(self.directory / "control.sock"), *args],
            input=stdin.encode(),
            stdout=subprocess.DEVNULL,
            check=True,
        )


def get_irctest_controller_class() -> Type[ChatdController]:
    return ChatdController
