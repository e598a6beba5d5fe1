"""The command line: `bavt ask`, `bavt show`, `bavt fetch`."""
