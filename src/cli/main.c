/* depthdrop, the program: finds the command and hands over to it. A new command is a new line in the table below. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const struct args_command *const commands[] = {
    &cli_devices, &cli_train, &cli_eval, &cli_predict, &cli_bench, &cli_tune, &cli_report, &cli_selftest,
    &cli_info,
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_help(void) {
    puts("usage: depthdrop COMMAND [options]\n"
         "\n"
         "Trains residual networks through OpenCL, on any vendor's device, with depth\n"
         "dropout: whole residual units are skipped at random and cost nothing.\n"
         "\n"
         "Commands:");
    for (int i = 0; i < COMMAND_COUNT; i++)
        printf("  %-10s  %s\n", commands[i]->name, commands[i]->summary);
    puts("\n"
         "depthdrop COMMAND --help   options and examples of a command\n"
         "depthdrop --version        the version\n"
         "\n"
         "Examples:\n"
         "  depthdrop devices\n"
         "  depthdrop train --data shapes --net resnet14 --epochs 3 --run runs/first\n"
         "  depthdrop eval --model runs/first/best.safetensors --data shapes\n"
         "\n"
         "Exit codes: 0 done, 1 internal error, 2 usage, 3 bad data or model file, 4 no\n"
         "usable device or driver failure, 5 out of memory, 6 self-test failed, 7 training\n"
         "diverged, 130 interrupted (state saved).");
}

static const struct args_command *find_command(const char *name) {
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name) {
    const char *names[COMMAND_COUNT + 2] = {"--help", "--version"};
    for (int i = 0; i < COMMAND_COUNT; i++)
        names[i + 2] = commands[i]->name;
    const char *nearest = args_nearest(name, names, COMMAND_COUNT + 2);
    const char *what = name[0] == '-' ? "option" : "command";
    if (nearest)
        return args_usage(NULL, "unknown %s '%s' (did you mean %s?)", what, name, nearest);
    return args_usage(NULL, "unknown %s '%s'", what, name);
}

int main(int argc, char **argv) {
    if (argc < 2)
        return args_usage(NULL, "a command is missing");
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        printf("depthdrop %s\n", dd_version());
        return cli_finish_output(0);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (strcmp(name, "help") == 0 && argc == 2)) {
        print_help();
        return cli_finish_output(0);
    }
    bool help = strcmp(name, "help") == 0;
    const struct args_command *command = find_command(help ? argv[2] : name);
    if (!command)
        return unknown_command(help ? argv[2] : name);
    if (help) {
        args_print_help(command, stdout);
        return cli_finish_output(0);
    }
    return cli_finish_output(command->run(command, argc - 2, argv + 2));
}
