# Runs certstamp for action.yml on Windows; run.sh is its twin. Inputs are CERTSTAMP_IN_* variables.
# Windows PowerShell 5.1 is all it needs. Nothing of an input is ever evaluated or printed.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2

function Get-Input([string] $name) {
	$value = [Environment]::GetEnvironmentVariable("CERTSTAMP_IN_$name")
	[Environment]::SetEnvironmentVariable("CERTSTAMP_IN_$name", $null)
	if ($null -eq $value) { '' } else { $value }
}

function Stop-Run([string] $message, [string] $hint) {
	[Console]::Error.WriteLine("certstamp: error: $message")
	[Console]::Error.WriteLine("certstamp: hint: $hint")
	exit 2
}

# Copy-Verified copies a file aside, where nothing else writes, and holds the copy against a digest.
function Copy-Verified([string] $from, [string] $to, [string] $want, [string] $hint) {
	[IO.File]::Copy($from, $to)
	$got = (Get-FileHash -LiteralPath $to -Algorithm SHA256).Hash.ToLowerInvariant()
	if ($got -cne $want) { Stop-Run "the certstamp binary has SHA-256 $got, which is not the expected one" $hint }
}

# ConvertTo-Argument quotes one argument as CommandLineToArgvW reads it: PowerShell 5.1 does not do it for quotes.
function ConvertTo-Argument([string] $text) {
	'"' + ($text -replace '(\\*)"', '$1$1\"' -replace '(\\+)$', '$1$1') + '"'
}

$command = Get-Input 'COMMAND'; $stamp = Get-Input 'STAMP'; $plan = Get-Input 'PLAN'; $digest = Get-Input 'PLAN_SHA256'
$formats = Get-Input 'FORMATS'; $more = Get-Input 'ARGS'; $directory = Get-Input 'WORKING_DIRECTORY'
$binary = Get-Input 'BINARY'; $binaryDigest = Get-Input 'BINARY_SHA256'; $allowBuild = Get-Input 'ALLOW_BUILD'
$action = $env:GITHUB_ACTION_PATH

if ($command -cnotmatch '\A[a-z]+\z') { Stop-Run 'the input command is no command' 'name one of those in action.yml' }
if (@('true', 'false', '') -cnotcontains $allowBuild) { Stop-Run 'the input allow-build is neither true nor false' 'write true or false' }

$temp = $env:RUNNER_TEMP
if (-not $temp) { $temp = [IO.Path]::GetTempPath() }
$own = [IO.Directory]::CreateDirectory([IO.Path]::Combine($temp, 'certstamp.' + [Guid]::NewGuid().ToString('N'))).FullName
$program = [IO.Path]::Combine($own, 'certstamp.exe')

if ($binary) {
	if (-not (Test-Path -LiteralPath $binary -PathType Leaf)) { Stop-Run 'there is no file where the input binary says' 'put certstamp there, or leave the input out' }
	$binary = (Resolve-Path -LiteralPath $binary).ProviderPath
	if ($binaryDigest) {
		Copy-Verified $binary $program $binaryDigest 'find out who changed the file, or correct the input binary-sha256'
	} else {
		$program = $binary
	}
} else {
	if ($binaryDigest) { Stop-Run 'the input binary-sha256 is set without binary' 'give both, or neither' }
	$name = switch -CaseSensitive ("$env:RUNNER_ARCH") { 'X64' { 'certstamp-windows-amd64.exe' } 'ARM64' { 'certstamp-windows-arm64.exe' } default { '' } }
	$released = [IO.Path]::Combine($action, 'dist', $name)
	if ($name -and (Test-Path -LiteralPath $released -PathType Leaf)) {
		$sums = [IO.Path]::Combine($action, 'dist', 'SHA256SUMS')
		if (-not (Test-Path -LiteralPath $sums -PathType Leaf)) { Stop-Run "the action has dist/$name and no dist/SHA256SUMS" 'use a release commit of the action' }
		$wants = @([IO.File]::ReadAllLines($sums) | Where-Object { $_ -cmatch ('\A[0-9a-f]{64} [ *]' + [Regex]::Escape($name) + '\z') })
		if ($wants.Count -ne 1) { Stop-Run "dist/SHA256SUMS does not name $name once" 'use a release commit of the action' }
		Copy-Verified $released $program $wants[0].Substring(0, 64) "use a release commit of the action: dist/$name is not the released file"
	} elseif ($allowBuild -ceq 'true') {
		if (-not (Get-Command go.exe -ErrorAction SilentlyContinue)) { Stop-Run 'allow-build is set and there is no go in PATH' 'install Go, or give the input binary' }
		# The compiler gets what it needs to find its modules, and no secret of this step.
		$start = New-Object Diagnostics.ProcessStartInfo 'go.exe', ('build -C ' + (ConvertTo-Argument $action) + ' -trimpath -buildvcs=false -ldflags="-s -w -buildid=" -o ' + (ConvertTo-Argument $program) + ' ./cmd/certstamp')
		$start.UseShellExecute = $false
		$keep = 'PATH PATHEXT SYSTEMROOT TEMP TMP USERPROFILE LOCALAPPDATA APPDATA GOROOT GOPATH GOMODCACHE GOCACHE GOFLAGS GOPROXY GONOPROXY GOSUMDB GONOSUMDB GOPRIVATE HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR'.Split(' ') # in any letter case
		foreach ($key in @($start.EnvironmentVariables.Keys)) { if ($keep -notcontains $key) { $start.EnvironmentVariables.Remove($key) } }
		$start.EnvironmentVariables['CGO_ENABLED'] = '0'; $start.EnvironmentVariables['GOTOOLCHAIN'] = 'local'; $start.EnvironmentVariables['GOWORK'] = 'off'
		$go = [Diagnostics.Process]::Start($start)
		$go.WaitForExit()
		if ($go.ExitCode -ne 0) { Stop-Run 'certstamp could not be built' 'read what go says above, or give the input binary' }
	} elseif ($name) {
		Stop-Run "this commit of the action has no dist/$name" "use a release commit, or mirror $name of the release to the runner and give its path as the input binary"
	} else {
		Stop-Run 'there is no released certstamp for this system' 'build certstamp for it and give its path as the input binary, or set allow-build: true'
	}
}

$list = New-Object Collections.Generic.List[string]
$list.Add($command)
foreach ($line in $stamp -split '\r?\n') { if ($line) { $list.Add("--stamp=$line") } }
if ($plan) { if ($command -ceq 'plan') { $list.Add("--out=$plan") } else { $list.Add("--plan=$plan") } }
if ($digest) { $list.Add("--plan-sha256=$digest") }
$text = $true
foreach ($line in $formats -split '[ ,\t\r\n]+') { if ($line) { if (-not $line.Contains('=')) { $text = $false }; $list.Add("--format=$line") } }
if ($text) { $list.Add('--format=text') }
foreach ($line in $more -split '\r?\n') { if ($line) { $list.Add($line) } }

# A process of its own, not the call operator: that one loses quotes, and turns lines on stderr into errors.
$start = New-Object Diagnostics.ProcessStartInfo $program, (($list | ForEach-Object { ConvertTo-Argument $_ }) -join ' ')
$start.UseShellExecute = $false
$start.WorkingDirectory = (Get-Location).ProviderPath
if ($directory) {
	if (-not (Test-Path -LiteralPath $directory -PathType Container)) { Stop-Run 'the input working-directory is no folder' 'name one that is there after the checkout' }
	$start.WorkingDirectory = (Resolve-Path -LiteralPath $directory).ProviderPath
}
$run = [Diagnostics.Process]::Start($start)
$run.WaitForExit()
exit $run.ExitCode
