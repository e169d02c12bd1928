#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Each numeric and each verb that chatd sends to IRC clients is shown by a case of the table here, in the shape that
https://modern.ircdocs.horse and the specifications of IRCv3 give it. Which there are is read from the source.
"""

import base64
import glob

from irc_client import *

NICK, CHANNEL, MASK, HOST, TIME = r"[a-z]\w*", r"#\w+", r"\S+!\S+@\S+", r"\S+", r"\d{9,}"
FROM = r"%s!\w+@%s" % (NICK, HOST)
MSGID = r"[0-9a-f]{16}-\d+"

# What stands between ":SERVER NNN NICK " and the text of daemon/irc/numerics.h; if that has none, the text as well.
NUMERICS = {
    "RPL_WELCOME": r":Welcome to the ExampleNet network, %s!\w+@\S+" % NICK,
    "RPL_YOURHOST": r":Your host is \S+, running chatd \S+",
    "RPL_CREATED": r":This server .*",
    "RPL_MYINFO": r"irc\.example\.org chatd-\S+ [A-Za-z]+ [A-Za-z]+ [A-Za-z]+",
    "RPL_ISUPPORT": r"[A-Z0-9]+(=\S*)?( -?[A-Z0-9]+(=\S*)?){,12} ",
    "RPL_ENDOFSTATS": r"\S ",
    "RPL_UMODEIS": r"\+[A-Za-z]*",
    "RPL_STATSUPTIME": r":Server Up \d+ days \d+:\d\d:\d\d",
    "RPL_STATSOLINE": r"O \S+ \* \S+",
    "RPL_LUSERCLIENT": r":There are \d+ users and \d+ invisible on \d+ servers",
    "RPL_LUSEROP": r"\d+ ",
    "RPL_LUSERUNKNOWN": r"\d+ ",
    "RPL_LUSERCHANNELS": r"\d+ ",
    "RPL_LUSERME": r":I have \d+ clients and \d+ servers",
    "RPL_ADMINME": r"irc\.example\.org ",
    "RPL_ADMINLOC1": r":.+",
    "RPL_ADMINLOC2": r":.+",
    "RPL_ADMINEMAIL": r":.+",
    "RPL_LOCALUSERS": r"(?P<n>\d+) (?P<max>\d+) :Current local users (?P=n), max (?P=max)",
    "RPL_GLOBALUSERS": r"(?P<n>\d+) (?P<max>\d+) :Current global users (?P=n), max (?P=max)",
    "RPL_AWAY": NICK + r" :.+",
    "RPL_USERHOST": r":((^| )?%s\*?=[+-]\w+@%s)*" % (NICK, HOST),
    "RPL_ISON": r":((^| )?%s)*" % NICK,
    "RPL_UNAWAY": "",
    "RPL_NOWAWAY": "",
    "RPL_WHOISUSER": r"%s \w+ %s \* :.+" % (NICK, HOST),
    "RPL_WHOISSERVER": NICK + r" irc\.example\.org :.+",
    "RPL_WHOISOPERATOR": NICK + " ",
    "RPL_WHOWASUSER": r"%s \w+ %s \* :.+" % (NICK, HOST),
    "RPL_ENDOFWHO": r"\S+ ",
    "RPL_WHOISIDLE": NICK + r" \d+ %s " % TIME,
    "RPL_ENDOFWHOIS": r"\S+ ",
    "RPL_WHOISCHANNELS": NICK + r" :[@+]*%s( [@+]*%s)*" % (CHANNEL, CHANNEL),
    "RPL_LISTSTART": "Channel ",
    "RPL_LIST": CHANNEL + r" \d+ :.*",
    "RPL_LISTEND": "",
    "RPL_CHANNELMODEIS": CHANNEL + r" \+[A-Za-z]*( \S+)*",
    "RPL_CREATIONTIME": CHANNEL + " " + TIME,
    "RPL_WHOISACCOUNT": r"%s %s " % (NICK, NICK),
    "RPL_NOTOPIC": CHANNEL + " ",
    "RPL_TOPIC": CHANNEL + " :.+",
    "RPL_TOPICWHOTIME": r"%s %s %s" % (CHANNEL, NICK, TIME),
    "RPL_WHOISBOT": NICK + " ",
    "RPL_INVITELIST": CHANNEL,
    "RPL_ENDOFINVITELIST": "",
    "RPL_INVITING": r"%s %s" % (NICK, CHANNEL),
    "RPL_INVEXLIST": r"%s %s %s %s" % (CHANNEL, MASK, NICK, TIME),
    "RPL_ENDOFINVEXLIST": CHANNEL + " ",
    "RPL_EXCEPTLIST": r"%s %s %s %s" % (CHANNEL, MASK, NICK, TIME),
    "RPL_ENDOFEXCEPTLIST": CHANNEL + " ",
    "RPL_VERSION": r"chatd-\S+ irc\.example\.org :.*",
    "RPL_WHOREPLY": r"(%s|\*) \w+ %s irc\.example\.org %s [HG]\*?[@+]*B? :\d+ .+" % (CHANNEL, HOST, NICK),
    "RPL_NAMREPLY": r"[=@*] %s :[@+]*%s(!\S+)?( [@+]*%s(!\S+)?)*" % (CHANNEL, NICK, NICK),
    "RPL_WHOSPCRPL": r"\d+ %s( :.+)?" % NICK,
    "RPL_ENDOFLINKS": r"\* ",
    "RPL_ENDOFNAMES": r"(%s|\*) " % CHANNEL,
    "RPL_BANLIST": r"%s %s %s %s" % (CHANNEL, MASK, NICK, TIME),
    "RPL_ENDOFBANLIST": CHANNEL + " ",
    "RPL_ENDOFWHOWAS": r"\S+ ",
    "RPL_INFO": r":.+",
    "RPL_MOTD": r":- .*",
    "RPL_ENDOFINFO": "",
    "RPL_MOTDSTART": r":- irc\.example\.org Message of the day - ",
    "RPL_ENDOFMOTD": "",
    "RPL_YOUREOPER": "",
    "RPL_REHASHING": r"chatd\.conf ",
    "RPL_TIME": r"irc\.example\.org :.+ UTC",
    "RPL_VISIBLEHOST": HOST + " ",
    "ERR_NOSUCHNICK": r"\S+ ",
    "ERR_NOSUCHSERVER": r"\S+ ",
    "ERR_NOSUCHCHANNEL": r"\S+ ",
    "ERR_CANNOTSENDTOCHAN": CHANNEL + " ",
    "ERR_TOOMANYCHANNELS": CHANNEL + " ",
    "ERR_WASNOSUCHNICK": r"\S+ ",
    "ERR_TOOMANYTARGETS": r"\S+ ",
    "ERR_NOORIGIN": "",
    "ERR_INVALIDCAPCMD": r"\S+ ",
    "ERR_NORECIPIENT": r":No recipient given \([A-Z]+\)",
    "ERR_NOTEXTTOSEND": "",
    "ERR_INPUTTOOLONG": "",
    "ERR_UNKNOWNCOMMAND": r"\S+ ",
    "ERR_NOMOTD": "",
    "ERR_NOADMININFO": r"irc\.example\.org ",
    "ERR_NONICKNAMEGIVEN": "",
    "ERR_ERRONEUSNICKNAME": r"\S+ ",
    "ERR_NICKNAMEINUSE": r"\S+ :.+",
    "ERR_UNAVAILRESOURCE": r"\S+ ",
    "ERR_USERNOTINCHANNEL": r"%s %s " % (NICK, CHANNEL),
    "ERR_NOTONCHANNEL": CHANNEL + " ",
    "ERR_USERONCHANNEL": r"%s %s " % (NICK, CHANNEL),
    "ERR_NOTREGISTERED": "",
    "ERR_NEEDMOREPARAMS": r"[A-Z]+ ",
    "ERR_ALREADYREGISTERED": "",
    "ERR_PASSWDMISMATCH": "",
    "ERR_CHANNELISFULL": CHANNEL + " ",
    "ERR_UNKNOWNMODE": r"\S ",
    "ERR_INVITEONLYCHAN": CHANNEL + " ",
    "ERR_BANNEDFROMCHAN": CHANNEL + " ",
    "ERR_BADCHANNELKEY": CHANNEL + " ",
    "ERR_NEEDREGGEDNICK": CHANNEL + " ",
    "ERR_BANLISTFULL": CHANNEL + r" \S+ ",
    "ERR_NOPRIVILEGES": "",
    "ERR_CHANOPRIVSNEEDED": CHANNEL + " ",
    "ERR_CANTKILLSERVER": "",
    "ERR_UMODEUNKNOWNFLAG": "",
    "ERR_USERSDONTMATCH": "",
    "ERR_HELPNOTFOUND": r"\S+ ",
    "ERR_INVALIDKEY": CHANNEL + " ",
    "ERR_INVALIDMODEPARAM": CHANNEL + r" \S \S+ :.+",
    "RPL_HELPSTART": r"\S+ :.+",
    "RPL_HELPTXT": r"\S+ :.*",
    "RPL_ENDOFHELP": r"\S+ ",
    "RPL_MONONLINE": r":%s(,%s)*" % (FROM, FROM),
    "RPL_MONOFFLINE": r":%s(,%s)*" % (NICK, NICK),
    "RPL_MONLIST": r":%s(,%s)*" % (NICK, NICK),
    "RPL_ENDOFMONLIST": "",
    "ERR_MONLISTFULL": r"100 %s(,%s)* " % (NICK, NICK),
    "RPL_WHOISSECURE": NICK + " ",
    "RPL_WHOISKEYVALUE": NICK + r" \S+ \* :.*",
    "RPL_KEYVALUE": r"(%s|%s) \S+ \* :.*" % (NICK, CHANNEL),
    "RPL_KEYNOTSET": r"(%s|%s) \S+ " % (NICK, CHANNEL),
    "RPL_METADATASUBOK": r"\S+( \S+)*",
    "RPL_METADATAUNSUBOK": r"\S+( \S+)*",
    "RPL_METADATASUBS": r"\S+( \S+)*",
    "RPL_METADATASYNCLATER": CHANNEL,
    "RPL_LOGGEDIN": MASK + r" (?P<account>\w+) :You are now logged in as (?P=account)",
    "RPL_SASLSUCCESS": "",
    "ERR_SASLFAIL": "",
    "ERR_SASLTOOLONG": "",
    "ERR_SASLABORTED": "",
    "RPL_SASLMECHS": r"[A-Z0-9-]+(,[A-Z0-9-]+)* ",
}

# All of the line but its tags.
VERBS = {
    "ACCOUNT": r":%s ACCOUNT %s" % (FROM, NICK),
    "ACK": r":irc\.example\.org ACK",
    "AUTHENTICATE": r"AUTHENTICATE (\+|[A-Za-z0-9+/=]+)",
    "AWAY": r":%s AWAY( :.+)?" % FROM,
    "BATCH": r":irc\.example\.org BATCH (-\w+|\+\w+ (labeled-response|metadata \S+|chathistory %s|draft/chathistory-targets))" % CHANNEL,
    "CAP": r":irc\.example\.org CAP (\*|%s) (LS|LIST|ACK|NAK|NEW|DEL)( \*)? :.*" % NICK,
    "CHATHISTORY": r":irc\.example\.org CHATHISTORY TARGETS \S+ (timestamp=)?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "CHGHOST": r":%s CHGHOST \w+ %s" % (FROM, HOST),
    "ERROR": r"ERROR :.+",
    "FAIL": r":irc\.example\.org FAIL ([A-Z]+|\*) [A-Z_]+( \S+)* :.+",
    "INVITE": r":%s INVITE %s %s" % (FROM, NICK, CHANNEL),
    "JOIN": r":%s JOIN %s( (\*|%s) :.+)?" % (FROM, CHANNEL, NICK),
    "KICK": r":%s KICK %s %s :.*" % (FROM, CHANNEL, NICK),
    "KILL": r":%s KILL %s :.+" % (FROM, NICK),
    "MARKREAD": r":irc\.example\.org MARKREAD (%s|%s) (\*|timestamp=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)" % (CHANNEL, NICK),
    "MODE": r":%s MODE (%s [+-][A-Za-z+-]+( \S+)*|%s [+-][A-Za-z+-]+)" % (FROM, CHANNEL, NICK),
    "NICK": r":%s NICK %s" % (FROM, NICK),
    "NOTICE": r":(%s|irc\.example\.org) NOTICE (\*|%s|%s) :.+" % (FROM, NICK, CHANNEL),
    "PART": r":%s PART %s( :.+)?" % (FROM, CHANNEL),
    "PONG": r":irc\.example\.org PONG irc\.example\.org :.*",
    "PRIVMSG": r":%s PRIVMSG (%s|%s) :.+" % (FROM, NICK, CHANNEL),
    "QUIT": r":%s QUIT( :.+)?" % FROM,
    "REDACT": r":%s REDACT (%s|%s) %s( :.+)?" % (FROM, NICK, CHANNEL, MSGID),
    "REGISTER": r":irc\.example\.org REGISTER SUCCESS %s :.+" % NICK,
    "SETNAME": r":%s SETNAME :.+" % FROM,
    "TAGMSG": r":%s TAGMSG (%s|%s)" % (FROM, NICK, CHANNEL),
    "TOPIC": r":%s TOPIC %s :.*" % (FROM, CHANNEL),
    "WALLOPS": r":%s WALLOPS :.+" % FROM,
}


def source(name):
    with open(os.path.join(SOURCE, "daemon", "irc", name)) as f:
        return re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)


def sources(but=""):
    names = {os.path.basename(path) for path in glob.glob(os.path.join(SOURCE, "daemon", "irc", "*.c"))}
    return "".join(source(name) for name in sorted(names - {but}))


def table():
    """Name -> number and text, as the source has them."""
    rows = re.findall(r'X\((\w+), (\d+), (?:NULL|"(.*)")\)', source("numerics.h").replace("\\\n", "\n"))
    return {name: ("%03d" % int(number), text) for name, number, text in rows}


def verbs_of_the_source():
    """Those that stand at the beginning of what is formatted, and those that are handed to what formats it."""
    text = sources("help.c")  # which speaks of all of them
    found = set(re.findall(r'"(?::%s )?([A-Z]{3,}) [^"]*%', text)) | set(re.findall(r'"(?::%s )([A-Z]{3,})[ "]', text))
    for call in re.findall(r"\b(?:irc_(?:say|from_\w+|tell_\w+|own_event|standard)|render_\w+)\([^;]*;", text):
        found.update(re.findall(r'"(?::%s )?([A-Z]{3,})[ "]', call)[:1])
    return found | {v for pair in re.findall(r'\? "([A-Z]{3,})" : "([A-Z]{3,})"', text) if "PRIVMSG" in pair for v in pair}


CAPS = "account-notify account-tag away-notify batch cap-notify chghost draft/account-registration draft/chathistory " \
       "draft/message-redaction draft/metadata-3 draft/read-marker echo-message extended-join extended-monitor invite-notify " \
       "labeled-response message-tags multi-prefix sasl server-time setname standard-replies userhost-in-names"
PLAIN = base64.b64encode(b"\0amy\0secret").decode()

# What others do, which may come at any time, and what one does as others see it.
TOLD = {"INVITE", "WALLOPS"}

# Who says what, and which numerics and verbs are the answer, however many of each in a row; None: what is told without asking.
CASES = [
    # Registration.
    ("new", "JOIN #one", "451"),
    ("new", "FOO", "451"),
    ("new", "PING", "461"),
    ("new", "PING :", "409"),
    ("new", "PING x", "PONG"),
    ("new", "NICK", "431"),
    ("new", "NICK a,b", "432"),
    ("new", "NICK ann", "433"),
    ("new", "CAP LS 302", "CAP"),
    ("new", "CAP X", "410"),
    ("new", "CAP REQ :nothing", "CAP"),
    ("new", "AUTHENTICATE PLAIN", "904"),
    ("new", "CAP REQ :sasl", "CAP"),
    ("new", "AUTHENTICATE NOTHING", "908 904"),
    ("new", "AUTHENTICATE PLAIN", "AUTHENTICATE"),
    ("new", "AUTHENTICATE *", "906"),
    ("new", "AUTHENTICATE PLAIN", "AUTHENTICATE"),
    ("new", "AUTHENTICATE " + 401 * "x", "905"),
    ("new", "AUTHENTICATE PLAIN", "AUTHENTICATE"),
    ("new", "AUTHENTICATE " + PLAIN, "900 903"),
    ("new", "NICK amy", ""),
    ("new", "USER amy 0 * :Amy", ""),
    ("new", "CAP LIST", "CAP"),
    ("new", "CAP END", "001 002 003 004 005 251 252 253 254 255 265 266 375 372 376"),
    ("ann", "USER a b c d", "462"),
    ("ann", "PASS x", "462"),
    # Channels.
    ("ann", "JOIN #one", "JOIN MARKREAD 353 366"),
    ("bob", "JOIN #one", "JOIN MARKREAD 353 366"),
    ("ann", None, "JOIN"),
    ("eve", "JOIN #two", "JOIN 353 366"),
    ("ann", "JOIN nothing", "403"),
    ("ann", "JOIN :#a b", "403"),
    ("ann", "TOPIC #one", "331"),
    ("ann", "TOPIC #one :what it is about", "TOPIC"),
    ("bob", "TOPIC #one", "332 333"),
    ("bob", "TOPIC #one :mine", "482"),
    ("bob", "TOPIC #two", "442"),
    ("bob", "TOPIC :#t w", "403"),
    ("bob", "NAMES #one", "353 366"),
    ("bob", "NAMES", "366"),
    ("ann", "INVITE", "337"),
    ("ann", "INVITE eve #one", "341"),
    ("eve", None, "INVITE"),
    ("bob", None, "INVITE"),
    ("eve", "INVITE", "336 337"),
    ("ann", "INVITE bob #one", "443"),
    ("ann", "INVITE nobody #one", "401"),
    ("ann", "INVITE bob", "461"),
    ("ann", "MODE #one", "324 329"),
    ("ann", "MODE #one +b evil", "MODE"),
    ("ann", "MODE #one +e good", "MODE"),
    ("ann", "MODE #one +I best", "MODE"),
    ("ann", "MODE #one b", "367 368"),
    ("ann", "MODE #one e", "348 349"),
    ("ann", "MODE #one I", "346 347"),
    ("ann", "MODE #one +y", "472"),
    ("ann", "MODE #one +k :a b", "696"),
    ("ann", "MODE #one +k a:b", "525"),
    ("ann", "MODE #one +o nobody", "401"),
    ("ann", "MODE #one +o amy", "441"),
    ("ann", "MODE :#one two", "403"),
    ("ann", "KICK #one amy", "441"),
    ("ann", "KICK #one :a b", "441"),
    ("bob", "PART #one :bye", "PART"),
    ("ann", None, "PART"),
    ("bob", "PRIVMSG #one :hello", "404"),
    ("ann", "MODE #one +i", "MODE"),
    ("bob", "JOIN #one", "473"),
    ("ann", "MODE #one -i+k secret", "MODE"),
    ("bob", "JOIN #one", "475"),
    ("ann", "MODE #one -k+l * 1", "MODE"),
    ("bob", "JOIN #one", "471"),
    ("ann", "MODE #one -l+R", "MODE"),
    ("bob", "JOIN #one", "477"),
    ("ann", "MODE #one -R+b bob", "MODE"),
    ("bob", "JOIN #one", "474"),
    ("ann", "MODE #one -b bob", "MODE"),
    ("bob", "JOIN #one", "JOIN 332 333 MARKREAD 353 366"),
    ("ann", None, "JOIN"),
    ("ann", "MODE ann", "221"),
    ("ann", "MODE ann +w", "MODE"),
    ("ann", "MODE ann +y", "501"),
    ("ann", "MODE bob +w", "502"),
    ("ann", "MODE nobody +w", "401"),
    ("ann", "MODE :a b", "401"),
    ("ann", "LIST", "321 322 323"),
    # What is said.
    ("ann", "PRIVMSG #one :hello", "PRIVMSG"),
    ("bob", None, "PRIVMSG"),
    ("ann", "NOTICE #one :hello", "NOTICE"),
    ("bob", None, "NOTICE"),
    ("ann", "@+a=b TAGMSG #one", "TAGMSG"),
    ("bob", None, "TAGMSG"),
    ("ann", "@+a=b TAGMSG bob", "TAGMSG"),
    ("bob", None, "TAGMSG"),
    ("ann", "PRIVMSG bob :hello", "PRIVMSG"),
    ("bob", None, "PRIVMSG"),
    ("ann", "@label=x PONG", "ACK"),
    ("ann", "@label=x LUSERS", "BATCH 251 252 253 254 255 265 266 BATCH"),
    ("ann", "PRIVMSG", "411"),
    ("ann", "PRIVMSG #one", "412"),
    ("ann", "PRIVMSG nobody :x", "401"),
    ("ann", "PRIVMSG #nothing :x", "403"),
    ("ann", "PRIVMSG no1,no2,no3,no4,no5 :x", "401 407"),
    ("ann", "FOO", "421"),
    ("ann", "MODE", "461"),
    ("ann", "PRIVMSG #one :" + 600 * "x", "417"),
    ("ann", "KICK #one bob :be nice", "KICK"),
    ("bob", None, "KICK"),
    ("bob", "JOIN #one", "JOIN 332 333 MARKREAD 353 366"),
    ("ann", None, "JOIN"),
    # People.
    ("bob", "AWAY :at lunch", "306"),
    ("ann", None, "AWAY"),
    ("ann", "PRIVMSG bob :hello?", "301 PRIVMSG"),
    ("bob", "AWAY", "305"),
    ("ann", None, "AWAY"),
    ("bob", "MODE bob +B", "MODE"),
    ("ann", "WHOIS bob", "311 319 312 335 317 318"),
    ("ann", "WHOIS nobody", "401 318"),
    ("ann", "WHOIS", "431"),
    ("ann", "WHOIS amy", "311 312 330 317 318"),
    ("ann", "WHO #one", "352 315"),
    ("ann", "WHO #one %tn,1", "354 315"),
    ("ann", "WHO #one %tnr,1", "354 315"),
    ("ann", "WHOWAS nobody", "406 369"),
    ("ann", "ISON ann nobody bob", "303"),
    ("ann", "USERHOST ann nobody bob", "302"),
    ("bob", "SETNAME :Another", "SETNAME"),
    ("ann", None, "SETNAME"),
    ("bob", "SETNAME :", "FAIL"),
    ("bob", "NICK rob", "NICK"),
    ("ann", None, "NICK"),
    ("bob", "NICK bob", "NICK"),
    ("ann", None, "NICK"),
    ("ann", "MONITOR + bob,nobody", "730 731"),
    ("ann", "MONITOR L", "732 733"),
    ("ann", "MONITOR S", "730 731"),
    ("ann", "MONITOR", "461"),
    ("ann", "MONITOR + " + ",".join("w%d" % i for i in range(60)), "731"),
    ("ann", "MONITOR + " + ",".join("x%d" % i for i in range(60)), "734 731"),
    ("ann", "MONITOR C", ""),
    # Accounts.
    ("bob", "REGISTER bob * word", "REGISTER 900"),
    ("ann", None, "ACCOUNT"),
    ("bob", "REGISTER bob * word", "FAIL"),
    # What the server is.
    ("ann", "MOTD", "375 372 376"),
    ("ann", "LUSERS", "251 252 253 254 255 265 266"),
    ("ann", "VERSION", "351"),
    ("ann", "VERSION nowhere.example", "402"),
    ("ann", "TIME", "391"),
    ("ann", "INFO", "371 374"),
    ("ann", "ADMIN", "256 257 258 259"),
    ("ann", "STATS u", "242 219"),
    ("ann", "LINKS", "365"),
    ("ann", "HELP", "704 705 706"),
    ("ann", "HELP JOIN", "704 706"),
    ("ann", "HELP nothing", "524"),
    # Operators.
    ("ann", "KILL bob", "481"),
    ("ann", "OPER root wrong", "464"),
    ("ann", "OPER root top", "MODE 381"),
    ("ann", "STATS o", "243 219"),
    ("bob", "WHOIS ann", "311 319 312 313 317 318"),
    ("ann", "KILL irc.example.org", "483"),
    ("ann", "WALLOPS :to all", ""),
    ("ann", None, "WALLOPS"),
    # What is kept.
    ("ann", "METADATA * SET url :https://example.org", "761"),
    ("bob", "METADATA * SUB url name", "770 761"),
    ("bob", "METADATA * SUBS", "772"),
    ("bob", "METADATA * UNSUB name", "771"),
    ("bob", "METADATA ann GET url nothing", "BATCH 761 766 BATCH"),
    ("bob", "METADATA #one LIST", "BATCH"),
    ("bob", "METADATA", "461"),
    ("bob", "METADATA nobody LIST", "FAIL"),
    ("bob", "WHOIS ann", "311 319 312 313 760 317 318"),
    ("ann", "METADATA * SET url :https://example.net", "761"),
    ("bob", None, "761"),
    ("ann", "MARKREAD #one timestamp=2026-01-01T00:00:00.000Z", "MARKREAD"),
    ("ann", "MARKREAD #one timestamp=x", "FAIL"),
    ("ann", "CHATHISTORY LATEST #one * 1", "BATCH NOTICE BATCH"),
    ("ann", "CHATHISTORY TARGETS timestamp=2020-01-01T00:00:00.000Z timestamp=2099-01-01T00:00:00.000Z 10", "BATCH CHATHISTORY BATCH"),
    ("ann", "CHATHISTORY X #one * 1", "FAIL"),
    ("ann", "REDACT #one nothing", "FAIL"),
]


class Shown:
    """What was shown by anybody, each line in its shape."""

    def __init__(self):
        self.by_number = {number: (name, text) for name, (number, text) in table().items()}
        self.seen = set()
        self.clients = []
        self.heard = {}  # client -> so many of its lines

    def client(self, *args, **kwargs):
        c = IRC(*args, **kwargs)
        self.clients.append(c)
        return c

    def hear(self, c, command):
        """Waits for something that others do, behind what was waited for before."""
        at = self.heard.get(c, 0)
        while True:
            for i, line in enumerate(c.lines[at:], at):
                if line.command == command and (line.nick != c.nick or command == "WALLOPS"):
                    self.heard[c] = i + 1
                    return
            at = len(c.lines)
            c.next()

    def check_line(self, line):
        body = line.body()
        if line.command.isdigit():
            name, text = self.by_number[line.command]
            check(name in NUMERICS, name, "has no shape:", body)
            shape = r":irc\.example\.org %s (\*|%s) (?:%s)" % (line.command, NICK, NUMERICS[name])
            shape += re.escape(":" + text) if text else ""
        else:
            name = line.command
            check(name in VERBS, name, "has no shape:", body)
            shape = VERBS[name]
        check(re.fullmatch(shape, body), name, "has another shape:", repr(body), shape)
        self.seen.add(name)

    def check_all(self):
        for c in self.clients:
            for line in c.lines:
                self.check_line(line)


def commands(lines):
    """However many there are of one in a row."""
    return [name for name, _ in itertools.groupby(line.command for line in lines)]


def settings(d, admin=True, cloak=True, limits=UNLIMITED):
    with open(d.dir + "/motd", "w") as f:
        f.write("Welcome\n")
    listener = 'password_file = "%s/passwords"; register_accounts = true; cloak = %s;' % (d.dir, "true" if cloak else "false")
    chat = ', { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; }' % d.port
    tls = ', { name = "tls"; type = "tcp"; mode = "irc"; listen = "127.0.0.1:%d"; tls_certificate = "%s"; tls_key = "%s"; }' % (
        d.tls_port, *d.tls_files)
    d.write_config("", irc_listener(d.irc_port, listener) + chat + tls, IRC_EXTRA + limits +
                   ' operators = ( { name = "root"; password = "top"; } );' +
                   (' motd_file = "%s/motd"; admin = ( "Example Ltd.", "Room 1", "irc@example.org" );' % d.dir if admin else ""))


def long_lists(d, ann, bob):
    """As many masks as a channel may have, and so many people that their metadata has to be asked for."""
    for first in range(0, 160, 4):
        ann.line("MODE #one +bbbb %s" % " ".join("m%d" % i for i in range(first, first + 4)))
    check("478" in commands(ann.settled()))
    crowd = [d.join("crowd") for _ in range(101)]
    check("774" in commands(bob.join("#crowd") + bob.settled()))
    for c in crowd:
        c.close()


def what_is_taken_back(shown, ann, bob):
    ann.privmsg("#one", "a mistake")
    msgid = ann.until("PRIVMSG")[-1].tags["msgid"]
    equal(commands(ann.ask("REDACT #one %s :sorry" % msgid)), ["REDACT"])
    shown.hear(bob, "REDACT")


def other_settings(d, ann):
    """The host that others see, and what there is too much of, or not at all."""
    settings(d, admin=False, cloak=False,
             limits=UNLIMITED.replace("nick_changes_per_minute = 0;", "nick_changes_per_minute = 1; max_rooms_per_client = 1;"))
    equal(commands(ann.ask("REHASH"))[:1], ["382"])
    wait_for(lambda: commands(ann.ask("ADMIN")) == ["423"], what="the other settings")
    check({"396", "CHGHOST"} <= {line.command for line in ann.lines})
    equal(commands(ann.ask("MOTD")), ["422"])
    equal(commands(ann.ask("JOIN #more")), ["405"])
    ann.line("NICK anna")
    ann.line("NICK ann")
    check("437" in commands(ann.settled()))


def ends(shown, who):
    who["bob"].line("QUIT :bye")
    equal(who["bob"].until("ERROR")[-1].command, "ERROR")
    shown.hear(who["ann"], "QUIT")
    equal(set(commands(who["ann"].ask("WHOWAS bob"))), {"314", "312", "369"})
    who["ann"].line("KILL eve :because")
    equal(commands(who["eve"].until("ERROR")[-2:]), ["KILL", "ERROR"])


@test
def each_is_shown():
    known = table()
    sent = set(re.findall(r"\b(?:RPL|ERR)_[A-Z0-9_]+", sources())) & set(known)
    equal(sorted(set(known) - sent), [])
    equal(sorted(sent - set(NUMERICS)), [])
    equal(sorted(set(NUMERICS) - sent), [])
    equal(sorted(verbs_of_the_source()), sorted(VERBS))
    d = irc_daemon(start=False)
    add_account(d.dir + "/passwords", "amy")
    d.tls_port, d.tls_files = free_port(), tls_files(d.dir)
    settings(d)
    d.start()
    shown = Shown()
    who = {"new": shown.client(d), "eve": shown.client(d, "eve")}
    who.update((nick, shown.client(d, nick, caps=CAPS)) for nick in ("ann", "bob"))
    for nick, line, wanted in CASES:
        c = who[nick]
        if line is None:
            shown.hear(c, wanted)
            continue
        got = [l for l in c.ask(line) if l.command not in TOLD or l.command in wanted.split()]
        check(commands(got) == wanted.split(), nick, line, "is answered by", [l.text for l in got], "and not by", wanted)
    long_lists(d, who["ann"], who["bob"])
    safe = shown.client(d, "safe", sock=tls_connect(d, d.tls_port).sock)
    equal(commands(safe.ask("WHOIS safe")), ["311", "312", "671", "317", "318"])
    safe.line("QUIT")
    what_is_taken_back(shown, who["ann"], who["bob"])
    other_settings(d, who["ann"])
    ends(shown, who)
    shown.check_all()
    missing = (sent | set(VERBS)) - shown.seen
    equal(sorted(missing), [])

main()
